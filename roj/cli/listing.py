"""`roj apps`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from roj.cli.context import opened_store, settings_of, store_option
from roj.cli.output import Column, Table, age, output_option, show_list, time_of
from roj.client.rows import AppRow
from roj.client.view import View


@click.command()
@click.argument("glob", default="*")
@output_option
@store_option
@click.pass_context
def apps(context: click.Context, glob: str, output: str) -> None:
    """List apps; with GLOB those whose name, or NAME:VERSION, matches.

    \b
    roj apps
    roj apps 'web:v1.*' -o wide

    \b
    JSON: a list of {name, version, containers: [as in the app file], created, instances, digest, created_by, why,
    message}
    """
    with opened_store(context) as store:
        rows = View(store).apps(glob)
    nothing = "There are no apps yet. `roj create NAME:VERSION IMAGE -p 80:8080` writes one."
    if glob != "*":
        nothing = f"No app matches {glob}. `roj apps` lists all."
    show_list(app_table(settings_of(context).the_environment().now()), rows, output, nothing)


def app_table(now: datetime) -> Table[AppRow]:
    """How apps are printed."""
    return Table(
        columns=(
            Column("APP", lambda row: row.reference),
            Column("CONTAINERS", lambda row: str(len(row.app.containers)) if row.app else ""),
            Column("INSTANCES", lambda row: str(row.instances)),
            Column("AGE", lambda row: age(row.app.created if row.app else None, now)),
            Column("PORTS", ports, wide=True),
            Column("DIGEST", lambda row: row.digest[:12], wide=True),
            Column("BY", lambda row: row.app.created_by if row.app else "", wide=True),
            Column("WHY", lambda row: row.app.why if row.app else "", wide=True, folds=True),
            Column("IMAGES", images, folds=True),
            Column("MESSAGE", lambda row: row.message, folds=True, style=lambda row: "yellow"),
        ),
        fields=app_fields,
        name=lambda row: row.reference,
    )


def images(row: AppRow) -> str:
    """The images of its containers, in their order."""
    return ",".join(container.image for container in row.app.containers) if row.app else ""


def ports(row: AppRow) -> str:
    """`8080->80/tcp`; `*` for a port that the node chooses."""
    return ",".join(
        f"{port.host or '*'}->{port.key}"
        for container in (row.app.containers if row.app else ())
        for port in container.ports
    )


def app_fields(row: AppRow) -> dict[str, Any]:
    """An app as JSON has it."""
    app = row.app
    return {
        "name": row.name,
        "version": row.version,
        "containers": [
            container.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
            for container in (app.containers if app else ())
        ],
        "created": time_of(app.created if app else None),
        "instances": row.instances,
        "digest": row.digest,
        "created_by": app.created_by if app else "",
        "why": app.why if app else "",
        "message": row.message,
    }
