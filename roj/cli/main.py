"""The command `roj` itself: the table of its commands, each imported only when it is asked for.

`roj --help` and `roj version` import no command's module, so they are quick, and work where a part is broken.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from roj import __version__
from roj.cli import errors
from roj.cli.context import Settings, store_option


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what the list of commands says of it."""

    target: str
    """`module:function`."""
    help: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "Apps": {
        "create": Entry("roj.cli.apps:create", "Write an app: an image or a file, under NAME:VERSION."),
        "apps": Entry("roj.cli.listing:apps", "List apps."),
        "import": Entry("roj.cli.importing:import_", "Turn a Helios job or a Compose file into an app file."),
        "export": Entry(
            "roj.cli.export:export", "Print what is declared, as `create -f` and `apply` take it."
        ),
        "remove": Entry("roj.cli.apps:remove", "Remove apps that nothing uses."),
    },
    "Instances": {
        "deploy": Entry("roj.cli.deploy:deploy", "Launch an app on nodes."),
        "instances": Entry("roj.cli.instances:instances", "List instances: wanted beside observed."),
        "start": Entry("roj.cli.goals:start", "Start instances that were stopped."),
        "stop": Entry("roj.cli.goals:stop", "Stop instances and keep them."),
        "upgrade": Entry("roj.cli.upgrade:upgrade", "Give instances another app, in place."),
        "rollback": Entry("roj.cli.upgrade:rollback", "Go back to the app before."),
        "history": Entry("roj.cli.history:history", "List what was done to an instance."),
        "undeploy": Entry("roj.cli.goals:undeploy", "Stop instances and remove them."),
        "wait": Entry("roj.cli.wait:wait", "Wait until instances are launched, stopped or gone."),
        "adopt": Entry("roj.cli.goals:adopt", "Write down as wanted what a node reports."),
    },
    "Rollouts": {
        "rollout": Entry("roj.cli.rollout:rollout", "Take an app to many instances, a few at a time."),
        "rollouts": Entry("roj.cli.rollout:rollouts", "List rollouts."),
    },
    "Nodes": {
        "agent": Entry("roj.cli.agent:agent", "Run this node: make what is wanted so, and keep it so."),
        "nodes": Entry("roj.cli.nodes:nodes", "List nodes."),
        "node": Entry("roj.cli.node:node", "What concerns one node."),
        "pull": Entry("roj.cli.pull:pull", "Pull images on nodes before they are needed."),
    },
    "Cluster": {
        "cluster": Entry("roj.cli.cluster:cluster", "Show the store, its nodes and instances at a glance."),
        "inspect": Entry(
            "roj.cli.inspect:inspect", "Show everything known of an app, a node or an instance."
        ),
        "events": Entry("roj.cli.events:events", "List what happened, or follow it."),
        "plan": Entry("roj.cli.plan:plan", "Say what the cluster would do now, or `apply` write."),
        "apply": Entry("roj.cli.apply:apply", "Make what is declared as files say."),
        "restore": Entry("roj.cli.restore:restore", "Put back into a lost store what this node believed."),
        "schema": Entry("roj.cli.schema:schema", "Print what files are made of, as JSON Schema."),
        "dev": Entry("roj.cli.dev:dev", "The whole of roj in one terminal, without Consul."),
        "version": Entry("roj.cli.main:version", "Print roj's version."),
    },
}
"""Every command by the section of the help that it stands in."""

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now.

        Raises:
            click.ClickException: this roj has no such part.
        """
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, function = entry.target.partition(":")
        try:
            command = getattr(importlib.import_module(module), function, None)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            command = None
        if not isinstance(command, click.Command):
            raise click.ClickException(f"this roj was built without `roj {cmd_name}`")
        command.short_help = entry.help
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean `roj {close[0]}`?" if close else ""
            raise click.UsageError(f"There is no command `roj {name}`.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()], col_max=12)


EPILOG = """\b
To begin:
  roj create web:v1 nginx:1.27 -p 80:8080    an app: port 80 of the container at port 8080 of the node
  roj agent                                  on each machine with Docker, as a service: it becomes a node
  roj deploy web:v1 node1 --wait             prints the new instance's id
  roj instances node1                        what is wanted beside what there is

\b
Where the store is: --store, else ROJ_STORE, else CONSUL_HTTP_ADDR, else 127.0.0.1:8500.
Data goes to stdout, everything else to stderr. `roj COMMAND --help` says more, with examples.
Exit codes: 0 done, 1 failed, 2 wrong input, 3 not in time, 4 not found, 5 conflict, 6 store or Docker
unreachable, 7 denied, 10 changes (plans), 130 interrupted.
"""


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="roj %(version)s")
@store_option
def main() -> None:
    """Run Docker containers on your own machines, and keep them as declared."""


@click.command()
def version() -> None:
    """Print roj's version, in one line."""
    click.echo(f"roj {__version__}")


def run(
    arguments: Sequence[str] | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> int:
    """Run one command and return its exit code. Never raises, whatever the command does.

    `arguments` are the process's, and `variables` its environment, unless given.
    """
    variables = os.environ if variables is None else variables
    words = list(sys.argv[1:] if arguments is None else arguments)
    with errors.reported(variables) as outcome:
        if "_ROJ_COMPLETE" in variables:
            main.main(words, "roj", complete_var="_ROJ_COMPLETE")
        outcome.code = _call(words, settings or Settings(variables=variables))
    return outcome.code


def _call(words: list[str], settings: Settings) -> int:
    # Not click's own `main`: it ends the process itself on Ctrl-C and on a closed pipe.
    try:
        with main.make_context("roj", words, obj=settings) as context:
            main.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


__all__ = ["COMMANDS", "SECTIONS", "main", "run", "version"]
