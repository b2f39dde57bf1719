"""`roj export`: what is declared, as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from roj.api.app import App, AppSpec
from roj.api.document import document_of
from roj.cli.apps import references_of
from roj.cli.context import Function, opened, opened_store, say, store_option
from roj.cli.documents import as_one, as_yaml_documents
from roj.cli.output import write

_output_option: Callable[[Function], Function] = click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)


@click.group()
def export() -> None:
    """Print what is declared, as `roj create -f` and `roj apply` take it."""


@export.command("app")
@click.argument("reference", metavar="NAME:VERSION")
@_output_option
@store_option
@click.pass_context
def export_app(context: click.Context, reference: str, output: str) -> None:
    """Print an app as a file for `roj create -f`.

    \b
    roj export app web:v1 > web.yaml
    roj create web:v2 -f web.yaml
    """
    from roj.client.apps import get_app

    name, version = references_of([reference])[0]
    with opened(context) as client:
        app = get_app(client, name, version).app
    click.echo(exported(app, output), nl=False)


def exported(app: App, form: str = "yaml") -> str:
    """What `create -f` takes; it makes the same app."""
    return written(app.spec, form)


def written(spec: AppSpec, form: str = "yaml") -> str:
    """The app file."""
    fields = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n" if form == "json" else as_one(fields)


def _command(name: str, help: str, kinds: tuple[str, ...]) -> None:
    @export.command(name, help=help)
    @_output_option
    @store_option
    @click.pass_context
    def command(context: click.Context, output: str) -> None:
        from roj.client.applying import declared_records

        with opened_store(context) as store:
            records, unreadable = declared_records(store, kinds)
        for problem in unreadable:
            say(f"left out: {problem}")
        documents: list[dict[str, Any]] = [document_of(record) for record in records]
        if output == "json":
            write(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")
        else:
            write(as_yaml_documents(documents))


_command("apps", "Print all apps as documents for `roj apply`.\n\n\b\nroj export apps > apps.yaml", ("app",))
_command(
    "nodes",
    "Print the labels, cordons and windows of all nodes as documents for `roj apply`.\n\n"
    "\b\nroj export nodes -o json",
    ("node",),
)
_command(
    "instances",
    "Print all instances, but those that are being undeployed, as documents for `roj apply`.\n\n"
    "\b\nroj export instances > instances.yaml",
    ("instance",),
)
_command(
    "all",
    "Print apps, nodes and instances as documents for `roj apply`: applied at once, they change nothing.\n\n"
    "\b\nroj export all > cluster.yaml\nroj plan -f cluster.yaml",
    ("app", "node", "instance"),
)
