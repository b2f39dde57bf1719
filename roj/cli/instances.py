"""`roj instances`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from roj.api.faults import Fault, InvalidInput
from roj.cli.choosing import selector_of, selector_option
from roj.cli.context import opened_store, settings_of, store_option
from roj.cli.output import Column, Table, age, output_option, show_list, time_of, with_next_try
from roj.client.rows import InstanceRow
from roj.client.view import View

STYLES = {
    "launched": "green",
    "completed": "green",
    "failed": "red",
    "held": "yellow",
    "unknown": "yellow",
    "unclaimed": "yellow",
    "stopped": "dim",
}
"""Colours of phases; the others are on their way and have none."""


@click.command()
@click.argument("node", required=False)
@selector_option
@output_option
@store_option
@click.pass_context
def instances(context: click.Context, node: str | None, selector: tuple[str, ...], output: str) -> None:
    """List instances, all or those of NODE, or of nodes with such labels: what is wanted beside what the node says.

    \b
    Phases on the way:  pending pulling creating starting healthchecking stopping
    Phases that last:   launched stopped completed failed
    held       the store went back to an older order; the node goes on (`roj adopt`)
    unknown    the node is away, or its Docker does not answer: what it said last may not be so
    unclaimed  containers of roj's that the store knows no instance of (`roj adopt`, `roj undeploy`)

    \b
    roj instances node1
    roj instances -l zone=a
    roj instances -o wide
    roj instances -o json | jq -r '.[] | select(.phase != "launched") | .id'

    APP is what should run; `web:v2 (web:v1)`: web:v1 is what serves yet, or again where web:v2 failed.
    GENERATION counts the changes; `1/2` is: two were ordered, the node has acted on the first; `0/1`: on none yet.
    SINCE is how long it has been in this phase; MESSAGE has the time of day of the next try, by this machine's clock.

    \b
    JSON: a list of {id, node, app, goal, phase, generation, observed_generation, ports: {"80/tcp": 8080}, restarts,
    since, message, containers: [{name, id, image, state, ports}], uid, observed_app, change, next_try, conditions,
    changed: {who, when, why}}
    """
    faults: list[Fault] = []
    meant = selector_of(selector, faults)
    if faults:
        raise InvalidInput(faults)
    with opened_store(context) as store:
        rows = View(store).instances(node, meant)
    where = f"on {node}" if node else "yet" if meant is None else f"on nodes with labels as in {meant}"
    nothing = f"There are no instances {where}. `roj deploy NAME:VERSION NODE` launches an app; `roj apps` lists them."
    show_list(instance_table(settings_of(context).the_environment().now()), rows, output, nothing)


def instance_table(now: datetime) -> Table[InstanceRow]:
    """How instances are printed."""
    return Table(
        columns=(
            Column("ID", lambda row: row.id),
            Column("NODE", lambda row: row.node),
            Column("APP", apps),
            Column("GOAL", lambda row: row.goal),
            Column("PHASE", lambda row: row.phase, style=lambda row: STYLES.get(row.phase, "")),
            Column("GENERATION", generation),
            Column("PORTS", lambda row: ports(row.ports)),
            Column("RESTARTS", lambda row: str(row.restarts)),
            Column("SINCE", lambda row: age(row.since, now)),
            Column("UID", lambda row: row.uid, wide=True),
            Column("CHANGE", lambda row: row.change, wide=True),
            Column("CONTAINERS", containers, wide=True),
            Column("NEXT-TRY", lambda row: ahead(row.next_try, now), wide=True),
            Column("MESSAGE", lambda row: with_next_try(row.message, row.next_try, now), folds=True),
        ),
        fields=instance_fields,
        name=lambda row: row.id,
    )


def apps(row: InstanceRow) -> str:
    """`web:v2`; where its node has another, `web:v2 (web:v1)`."""
    differs = row.observed_app and row.observed_app != row.app
    return f"{row.app} ({row.observed_app})" if differs else row.app


def generation(row: InstanceRow) -> str:
    """`2`; while the node has not acted on it `1/2`, or `0/2`; empty where nothing is wanted."""
    if row.generation == 0:
        return ""
    if row.observed_generation == row.generation:
        return str(row.generation)
    return f"{row.observed_generation}/{row.generation}"


def ports(of: dict[str, int] | Any) -> str:
    """`8080->80/tcp`, by the node's port: where it is reached, then what is there."""
    return ",".join(
        f"{host}->{inside}" for inside, host in sorted(of.items(), key=lambda item: (item[1], item[0]))
    )


def containers(row: InstanceRow) -> str:
    """`web:running`, in the order of the app, with the first digits of Docker's id."""
    return ",".join(f"{c.name}:{c.state}" + (f"({c.id[:12]})" if c.id else "") for c in row.containers)


def ahead(moment: datetime | None, now: datetime) -> str:
    """`12s`: until `moment`; `0s` once it has come."""
    return age(now, moment) if moment is not None else ""


def instance_fields(row: InstanceRow) -> dict[str, Any]:
    """An instance as JSON has it."""
    return {
        "id": row.id,
        "node": row.node,
        "app": row.app,
        "goal": row.goal or None,
        "phase": row.phase,
        "generation": row.generation,
        "observed_generation": row.observed_generation,
        "ports": dict(row.ports),
        "restarts": row.restarts,
        "since": time_of(row.since),
        "message": row.message,
        "containers": [
            {"name": c.name, "id": c.id, "image": c.image, "state": c.state, "ports": c.ports}
            for c in row.containers
        ],
        "uid": row.uid,
        "observed_app": row.observed_app or None,
        "change": row.change or None,
        "next_try": time_of(row.next_try),
        "conditions": [condition.model_dump(mode="json") for condition in row.conditions],
        "changed": {"who": row.who, "when": time_of(row.when), "why": row.why},
    }
