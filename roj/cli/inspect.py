"""`roj inspect`."""

from __future__ import annotations

import click

from roj.cli.context import opened_store, store_option
from roj.cli.output import output_option, show_object
from roj.client.inspection import inspect_app, inspect_instance, inspect_node

KINDS = {"app": inspect_app, "node": inspect_node, "instance": inspect_instance}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("reference", metavar="REF")
@output_option
@store_option
@click.pass_context
def inspect(context: click.Context, kind: str, reference: str, output: str) -> None:
    """Show everything known of one app (NAME:VERSION), node, or instance: wanted, reported, and what happened.

    An instance is named by its id, by NODE/ID, or by the beginning of an id that no other has. The table form is YAML.

    \b
    roj inspect instance web-ixbix
    roj inspect app web:v1 -o json
    roj inspect node node1

    \b
    JSON: {kind, desired, observed, ...}: records as they are stored. One that does not parse is
    {unreadable, key, stored}.
    """
    with opened_store(context) as store:
        data = KINDS[kind](store, reference)
    show_object(data, output, f"{data['node']}/{data['id']}" if kind == "instance" else reference)
