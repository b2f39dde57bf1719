"""`roj nodes`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from roj.api.faults import Fault, InvalidInput
from roj.api.node import Mark
from roj.cli.choosing import selector_of, selector_option
from roj.cli.context import opened_store, settings_of, store_option
from roj.cli.output import Column, Table, age, output_option, pairs, show_list, time_of
from roj.client.rows import NodeRow
from roj.client.view import View

NO_NODES = """There are no nodes yet. Run `roj agent` on a machine that has Docker: it becomes one.
(No Consul at hand? `roj dev` runs all of roj in one terminal.)"""


@click.command()
@selector_option
@output_option
@store_option
@click.pass_context
def nodes(context: click.Context, selector: tuple[str, ...], output: str) -> None:
    """List nodes: whether their agents are there, and what they say.

    A node is ready while its agent's session holds its lease in the store, and away otherwise; its containers may well
    run on. SINCE is its last report of that.

    \b
    roj nodes
    roj nodes -l role=web,zone!=a -o wide
    roj nodes -o json | jq -r '.[] | select(.ready | not) | .name'

    \b
    JSON: a list of {name, ready, since, labels, instances, address, versions: {agent, docker}, host, cordoned, frozen,
    drained, forgotten: {who, when, why, until}, windows, changed: {who, when, why}, clock, conditions: [{type, status,
    reason, message, since}], message}
    """
    faults: list[Fault] = []
    meant = selector_of(selector, faults)
    if faults:
        raise InvalidInput(faults)
    with opened_store(context) as store:
        rows = View(store).nodes()
    nothing = NO_NODES
    if meant is not None:
        nothing = f"No node has labels as in {meant}. `roj node label NODE KEY=VALUE` gives one."
        rows = [row for row in rows if meant.matches(row.labels)]
    show_list(node_table(settings_of(context).the_environment().now()), rows, output, nothing)


def node_table(now: datetime) -> Table[NodeRow]:
    """How nodes are printed."""
    return Table(
        columns=(
            Column("NAME", lambda row: row.name),
            Column(
                "STATUS", lambda row: row.status_at(now), style=lambda row: "green" if row.ready else "red"
            ),
            Column("SINCE", lambda row: age(row.since, now)),
            Column("INSTANCES", lambda row: str(row.instances)),
            Column("AGENT", lambda row: row.versions.get("agent", "")),
            Column("DOCKER", lambda row: row.versions.get("docker", "")),
            Column("ADDRESS", lambda row: row.address),
            Column("HOST", lambda row: row.host, wide=True),
            Column("CONDITIONS", lambda row: pairs({c.type: c.status for c in row.conditions}), wide=True),
            Column("CLOCK", lambda row: row.clock, wide=True),
            Column("WINDOWS", lambda row: "; ".join(row.windows), wide=True),
            Column("MARKS", lambda row: marks(row, now), wide=True, folds=True),
            Column("LABELS", lambda row: pairs(row.labels), folds=True),
            Column("MESSAGE", lambda row: row.message, folds=True, style=lambda row: "yellow"),
        ),
        fields=node_fields,
        name=lambda row: row.name,
    )


def marks(row: NodeRow, now: datetime) -> str:
    """`frozen by anna@desk 5m ago until 2026-11-22T08:00:00.000Z: the disk; cordoned by ...`."""
    told = []
    for word, mark in row.marks.items():
        if mark.holds(now):
            told.append(mark.in_words(f"{word} {age(mark.when, now)} ago"))
    return "; ".join(told)


def node_fields(row: NodeRow) -> dict[str, Any]:
    """A node as JSON has it."""
    return {
        "name": row.name,
        "ready": row.ready,
        "since": time_of(row.since),
        "labels": dict(row.labels),
        "instances": row.instances,
        "address": row.address,
        "versions": dict(row.versions),
        "host": row.host,
        "cordoned": _mark(row.cordoned),
        "frozen": _mark(row.frozen),
        "drained": _mark(row.drained),
        "forgotten": _mark(row.forgotten),
        "windows": list(row.windows),
        "changed": _mark(row.changed),
        "clock": row.clock,
        "conditions": [condition.model_dump(mode="json") for condition in row.conditions],
        "message": row.message,
    }


def _mark(mark: Mark | None) -> dict[str, Any] | None:
    return mark.model_dump(mode="json") if mark is not None else None
