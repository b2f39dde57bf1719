"""`roj deploy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from roj.api.faults import Fault
from roj.cli.apps import why_option
from roj.cli.choosing import nodes_of, selector_of, selector_option
from roj.cli.context import opened, say, store_option
from roj.cli.plans import DRY_RUN, dry_run_options, end_of_plan, refuse_exit_code
from roj.cli.waiting import timeout_of, wait_and_tell, wait_options

if TYPE_CHECKING:
    from roj.client.deployment import Launch


@click.command()
@click.argument("reference", metavar="NAME:VERSION")
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@selector_option
@click.option("--count", metavar="N", type=int, default=1, show_default=True, help="Instances on each node.")
@click.option(
    "--id", "id", metavar="ID", help="The instance's id, unique in the cluster. Default: a new one."
)
@dry_run_options(DRY_RUN)
@wait_options
@why_option
@store_option
@click.pass_context
def deploy(
    context: click.Context,
    /,
    *,
    reference: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    count: int,
    id: str | None,
    dry_run: bool,
    exit_code: bool,
    waits: bool,
    timeout: str,
    why: str,
) -> None:
    """Launch an app on nodes: prints the id of each instance, alone on a line.

    It writes what is wanted and touches no Docker; a node that is away does it when it is back. Everything is checked
    before the first write. Twice makes two instances, except with --id: the same again is no change.

    \b
    roj deploy web:v1 node1 --wait
    roj deploy web:v1 node1 node2 node3
    roj deploy web:v1 -l role=web,zone!=c
    roj deploy job:v1 node1 --count 3 -m "more load"
    roj deploy web:v1 node1 --id web-main            for scripts: any number of times
    id=$(roj deploy web:v1 node1)
    """
    from roj.client.deployment import deploy as launch
    from roj.client.waiting import Awaited

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    faults: list[Fault] = []
    patience = timeout_of(timeout, faults)
    name, _, version = reference.partition(":")
    meant = selector_of(selector, faults)
    if nodes and selector:
        faults.append(Fault("NODE", "name nodes, or choose them by -l"))
    with opened(context, dry_run=dry_run) as client:
        if meant is not None and not faults:
            nodes = tuple(stored.name for stored in nodes_of(client, (), meant))
        launches = launch(
            client, name, version, nodes, count=count, id=id, why=why, faults=faults,
            created=_would(reference, id) if dry_run else _told(reference),
        )  # fmt: skip
        if dry_run:
            end_of_plan(context, exit_code=exit_code, changes=any(not made.existed for made in launches))
            return
        if id is None:
            say("The same again makes more instances; with --id ID it would not.")
        if waits:
            awaited = [Awaited(made.node, made.id, made.uid, "start", made.generation) for made in launches]
            wait_and_tell(context, client, awaited, patience)


def _would(reference: str, id: str | None) -> Callable[[Launch], None]:
    """Says what would be; the id is printed where it would be the same."""

    def tell(made: Launch) -> None:
        if id is not None:
            click.echo(id)
        if made.existed:
            say(f"{made.id} is there already")
        else:
            say(f"{reference} would run on {made.node}" + (f" as {id}" if id is not None else ""))

    return tell


def _told(reference: str) -> Callable[[Launch], None]:
    """Prints each instance as soon as the store has it: what is printed stands, whatever comes after."""

    def tell(made: Launch) -> None:
        click.echo(made.id)
        say(
            f"{made.id} is there already"
            if made.existed
            else f"{made.id}: {reference} is to run on {made.node}"
        )
        if made.away:
            say(f"{made.node} is away: it does that when it is back")

    return tell
