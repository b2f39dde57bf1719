"""`roj wait`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

import click

from roj.api.faults import Fault, InvalidInput
from roj.api.instance import Instance
from roj.cli.choosing import choice_of, choice_options, chosen
from roj.cli.context import opened, store_option
from roj.cli.waiting import timeout_of, wait_and_tell
from roj.client.client import Client
from roj.client.waiting import State


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@choice_options
@click.option(
    "--for", "state", type=click.Choice(get_args(State)), default="converged", show_default=True,
    help="converged: its node has done the last order.",
)  # fmt: skip
@click.option(
    "--timeout", metavar="DURATION", default="60s", show_default=True, help="How long: 500ms, 60s, 2m, 1h30m."
)
@store_option
@click.pass_context
def wait(
    context: click.Context,
    /,
    *,
    instances: tuple[str, ...],
    app: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    state: State,
    timeout: str,
) -> None:
    """Wait until instances are as they should be: 0 they are, 1 one failed or is gone, 3 not in time.

    Those are meant that there are when it begins, whatever is ordered meanwhile and by whom. Where there is none, --for
    gone ends with 0, all others with 4.

    \b
    roj wait web-ixbix --for launched --timeout 2m
    roj wait --app web:v2 --for launched
    roj node drain node1 && roj wait --node node1 --for stopped
    """
    from roj.client.waiting import awaits, reached

    faults: list[Fault] = []
    patience = timeout_of(timeout, faults)
    choice = choice_of(instances, app, nodes, selector, faults)
    if faults:
        raise InvalidInput(faults)
    with opened(context) as client:
        if choice is not None:
            references = chosen(client, (), choice, leaving=True, none=state == "gone")
        else:
            references = list(instances)
        awaited = [awaits(instance) for instance in _found(client, references, state)]
        wait_and_tell(context, client, awaited, patience, reached(state))


def _found(client: Client, references: list[str], state: State) -> Iterator[Instance]:
    """The instances that there are.

    Raises:
        errors.NotFound: there is none, and that is not what is waited for.
        errors.Conflict: one is unclaimed.
    """
    from roj.client.errors import Conflict, NotFound
    from roj.client.references import find_targets

    if state != "gone":
        targets = find_targets(client, references)
    else:
        targets = []
        for reference in references:
            with suppress(NotFound):
                targets += find_targets(client, [reference])
    for target in targets:
        instance = target.desired()
        if instance is None:
            raise Conflict(
                f"the store has no record of {target.name}: it is unclaimed",
                hint=f"`roj adopt {target.name}` claims it, `roj undeploy {target.name}` removes it.",
            )
        yield instance
