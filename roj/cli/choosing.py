"""Which nodes and instances a command is for, by what they have in common; and the question before many of them stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from roj.api.faults import Fault
from roj.api.names import check_name
from roj.api.selector import Selector, parse_selector
from roj.cli.context import Function, say
from roj.cli.flags import taken
from roj.client.client import Client
from roj.client.selection import Choice, StoredNode, select_instances, select_nodes, stored_node

NAMED = 5
"""Instances that are named before all of them stop."""


def selector_option(function: Function) -> Function:
    """Adds `-l`, passed on as `selector`, as texts for `selector_of`."""
    return click.option(
        "-l", "--selector", metavar="SELECTOR", multiple=True,
        help="Nodes by their labels: role=web, zone!=a, disk in (ssd,nvme), env notin (test), role, !role; "
        "joined by commas, all must hold.",
    )(function)  # fmt: skip


def choice_options(function: Function) -> Function:
    """Adds `--app`, `--node` and `-l` in the place of INSTANCE, as texts for `choice_of`."""
    app = click.option(
        "--app", metavar="NAME[:VERSION]", default="", help="Every instance that is to run this app."
    )
    node = click.option("--node", "nodes", metavar="NODE", multiple=True, help="Every instance on this node.")
    return app(node(selector_option(function)))


yes_option = click.option(
    "--yes",
    is_flag=True,
    help="Do not ask; needed off a terminal, where several are chosen otherwise than by name.",
)


def selector_of(texts: Sequence[str], faults: list[Fault]) -> Selector | None:
    """What the selectors mean together; None where there are none. What is none is added to `faults`."""
    found = taken("-l", parse_selector, texts, faults)
    return Selector(tuple(part for selector in found for part in selector.requirements)) if found else None


def choice_of(
    references: Sequence[str], app: str, nodes: Sequence[str], texts: Sequence[str], faults: list[Fault]
) -> Choice | None:
    """What is chosen by app, node and labels; None: INSTANCEs are named."""
    selector = selector_of(texts, faults)
    named = taken("--node", check_name, nodes, faults)
    chosen = bool(app or nodes or texts)
    if bool(references) == chosen:
        faults.append(Fault("INSTANCE", "name instances, or choose them by --app, --node and -l"))
    return Choice(app, tuple(named), selector) if chosen else None


def chosen(
    client: Client,
    references: Sequence[str],
    choice: Choice | None,
    *,
    leaving: bool = False,
    none: bool = False,
) -> list[str]:
    """The instances that are meant: those that are named, or 1 request.

    Args:
        leaving: those that are being undeployed are meant, too.
        none: there may be none.

    Raises:
        errors.NotFound: there is none.
    """
    if choice is None:
        return list(references)
    found = select_instances(client, choice, leaving=leaving, none=none)
    for name in found.unreadable:
        say(f"{name} is left out: its record is not understood")
    return list(found.references)


def nodes_of(client: Client, names: Sequence[str], selector: Selector | None) -> list[StoredNode]:
    """The nodes that are named, or those with such labels.

    Raises:
        errors.NotFound: there is none.
    """
    if selector is not None:
        return select_nodes(client, selector)
    return [stored_node(client, name) for name in dict.fromkeys(names)]


def confirm(what: str, names: Sequence[str], *, yes: bool) -> None:
    """Ask, where several are to stop that nobody named.

    Raises:
        errors.Invalid: there is no terminal to ask on, or the answer was no.
    """
    from roj.client.errors import Invalid

    if yes or len(names) <= 1:
        return
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    question = f"{what} {len(names)} instances: {', '.join(names[:NAMED])}{more}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Invalid(f"this would {question}", hint="--yes means it.")
    if not click.confirm(f"This would {question}. Go on?", err=True):
        raise Invalid("nothing was written")
