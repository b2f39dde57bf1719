"""`roj plan`: what the cluster would do now; or, with files, what `roj apply` would write."""

from __future__ import annotations

from typing import Any

import click

from roj.cli.apply import is_change, show_steps
from roj.cli.context import opened, opened_store, settings_of, store_option
from roj.cli.documents import files_option, read_files
from roj.cli.output import Column, Table, output_option, show_list
from roj.cli.plans import end_of_plan
from roj.client.outlook import Planned, outlook
from roj.client.snapshot import read_snapshot

_STYLES = {
    "failed": "red",
    "held": "yellow",
    "unclaimed": "yellow",
    "unknown": "yellow",
    "away": "yellow",
    "wait": "dim",
}


@click.command()
@click.argument("node", metavar="[NODE]", required=False)
@files_option(required=False)
@click.option("--prune", is_flag=True, help="With -f: with what `roj apply --prune` would undeploy.")
@click.option("--exit-code", is_flag=True, help="10 if something is to change, 0 if nothing is.")
@output_option
@store_option
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    node: str | None,
    files: tuple[str, ...],
    prune: bool,
    exit_code: bool,
    output: str,
) -> None:
    """Say what the cluster, or NODE, would do now: all that is not yet as it is declared.

    With -f: what `roj apply` would write.

    \b
    roj plan
    roj plan node1 -o json
    roj plan --exit-code || echo "not everything is as declared"
    roj plan -f cluster/ --prune --exit-code

    \b
    launch, pull, replace, start, stop, undeploy, repair    is on its way
    wait        for a time, a maintenance window, a node that is frozen or away; WHY says what comes then
    failed      was tried in vain; another upgrade, rollback or start tries again
    held        the store went back to an older order (`roj adopt`)
    unclaimed   nothing is wanted of it (`roj adopt`, `roj undeploy`)
    unknown     the store's record is not understood
    away        the node itself: its agent, or its Docker, does not answer

    The first two kinds end with 10 under --exit-code; the others need somebody, and come by no waiting.

    \b
    JSON: a list of {node, id, action, why, app, observed_app, goal, phase, change}; with -f of {kind, name, action,
    changes, place}
    """
    if files:
        from roj.client.applying import plan as compare

        if node is not None:
            raise click.UsageError("NODE goes without -f.", context)
        documents = read_files(files)
        with opened(context) as client:
            steps = compare(client, documents, prune=prune)
        show_steps(steps, output, would=True)
        end_of_plan(context, exit_code=exit_code, changes=is_change(steps))
        return
    if prune:
        raise click.UsageError("--prune goes with -f.", context)
    with opened_store(context) as store:
        snapshot = read_snapshot(store, node)
    if node is not None and not snapshot.node_names():
        from roj.client.errors import NotFound

        raise NotFound(f"there is no node {node}", hint="`roj nodes` lists all.")
    rows = outlook(snapshot, settings_of(context).the_environment().now(), node)
    show_list(_TABLE, rows, output, "Everything is as it is declared.")
    end_of_plan(context, exit_code=exit_code, changes=any(row.change for row in rows))


def _fields(row: Planned) -> dict[str, Any]:
    return {
        "node": row.node, "id": row.id or None, "action": row.action, "why": row.why, "app": row.app or None,
        "observed_app": row.observed_app or None, "goal": row.goal or None, "phase": row.phase or None,
        "change": row.change,
    }  # fmt: skip


_TABLE: Table[Planned] = Table(
    columns=(
        Column("NODE", lambda row: row.node),
        Column("ID", lambda row: row.id),
        Column("ACTION", lambda row: row.action, style=lambda row: _STYLES.get(row.action, "")),
        Column("APP", lambda row: row.app),
        Column("OBSERVED", lambda row: row.observed_app),
        Column("GOAL", lambda row: row.goal),
        Column("PHASE", lambda row: row.phase),
        Column("WHY", lambda row: row.why, folds=True),
    ),
    fields=_fields,
    name=lambda row: f"{row.node}/{row.id}" if row.id else row.node,
)
