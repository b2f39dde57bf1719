"""`roj restore`: a store that lost its data gets back what a node last believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roj.cli.apps import why_option
from roj.cli.context import opened, say, store_option
from roj.cli.output import Column, Table, output_option, show_list
from roj.cli.plans import dry_run_options, end_of_plan, refuse_exit_code

_TABLE: Table[Any] = Table(
    columns=(
        Column("WHAT", lambda row: row.what),
        Column("NAME", lambda row: row.name),
        Column("OUTCOME", lambda row: row.outcome),
        Column("MESSAGE", lambda row: row.message, folds=True),
    ),
    fields=lambda row: {
        "what": row.what,
        "name": row.name,
        "outcome": row.outcome,
        "message": row.message,
    },
    name=lambda row: row.name,
)


@click.command()
@click.option(
    "--state-dir",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The agent's state directory; the agent may be running.",
)
@dry_run_options("Only say what would be put back.")
@why_option
@output_option
@store_option
@click.pass_context
def restore(
    context: click.Context, /, *, state_dir: Path, dry_run: bool, exit_code: bool, why: str, output: str
) -> None:
    """Put back into a store that lost its data what this node last believed: to be called on the node.

    Cluster id, node, apps and instances are created where they are missing; nothing that is there is overwritten. Do it
    on every node, with the agents running or not: each knows its own. `roj events` tells of it, with WHY.

    \b
    roj restore --state-dir /var/lib/roj/node1 --dry-run
    roj restore --state-dir /var/lib/roj/node1 -m "Consul was wiped"

    \b
    created   it was missing (with --dry-run: it is)
    there     the store has the same, or what an operator wrote on top of it
    other     the store has something else, which stays
    lost      this node does not know it either
    """
    from roj.agent.state_directory import StateDirectory
    from roj.api.faults import UnreadableRecord
    from roj.api.node import Cluster, Node
    from roj.client.errors import Failed, NotFound
    from roj.client.restoration import restore as put_back
    from roj.controllers.orders import read_believed

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    state = StateDirectory(state_dir, lock=False)
    try:
        cluster, node = state.read("cluster"), state.read("node")
        if cluster is None:
            raise NotFound(f"{state_dir} is no state directory of an agent that has joined a cluster")
        believed = read_believed(state)
        with opened(context) as client:
            rows = put_back(
                client,
                Cluster.decode(cluster.value),
                Node.decode(node.value) if node is not None else None,
                believed,
                dry_run=dry_run,
                why=why,
            )
    except UnreadableRecord as problem:
        raise Failed(f"{state_dir} is not understood: {problem}") from None
    except OSError as problem:
        raise Failed(f"{state_dir} cannot be read: {problem.strerror or problem}") from None
    show_list(_TABLE, rows, output, "There is nothing to put back.")
    created = sum(row.outcome == "created" for row in rows)
    say(f"{created} {'would be ' if dry_run else ''}put back, {len(rows) - created} left as they are")
    end_of_plan(context, exit_code=exit_code, changes=created > 0)
