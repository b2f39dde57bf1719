"""`roj dev`: the whole of roj in one terminal, on a store that is a file, without Consul."""

from __future__ import annotations

from pathlib import Path

import click

from roj.cli.context import say


@click.command()
@click.option("--node", metavar="NAME", default="dev", show_default=True, help="The node's name.")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where store and state are kept. Default: the state directory of a node of that name, in dev/.",
)
@click.option(
    "--docker",
    metavar="URL",
    help="Docker's address, as for `roj agent`; simulated: plays containers without Docker.",
)
@click.pass_context
def dev(context: click.Context, node: str, directory: Path | None, docker: str | None) -> None:
    """Run an agent on a store of its own, an SQLite file: to try roj, or to work on it, without Consul.

    It prints the line that points other terminals at that store, and runs until Ctrl-C; containers are left as they
    are, and the next `roj dev` goes on with them.

    \b
    roj dev
    roj dev --docker simulated:
    """
    from roj.agent.options import AgentOptions, default_state_directory
    from roj.agent.process import run
    from roj.agent.state_directory import usable
    from roj.api.names import check_name
    from roj.cli.agent import ended

    check_name(node)
    home = (directory or default_state_directory("dev") / "dev").absolute()
    with ended(), usable(home):
        home.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{home / 'store.sqlite'}"
    say("In other terminals:")
    say(f"    export ROJ_STORE={store}")
    options = AgentOptions(node=node, state_dir=home / f"node-{node}", docker=docker, store=store)
    with ended():
        context.exit(run(options))
