"""`roj pull`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from roj.api.duration import parse_duration
from roj.api.faults import Fault, InvalidInput
from roj.api.names import parse_app_reference
from roj.api.when import in_full
from roj.cli.apps import why_option
from roj.cli.choosing import nodes_of, selector_of, selector_option
from roj.cli.context import opened, say, store_option
from roj.cli.errors import FAILED, INTERRUPTED, NOT_CONVERGED
from roj.cli.flags import taken
from roj.cli.waiting import timeout_of, wait_options

if TYPE_CHECKING:
    from roj.client.client import Client
    from roj.client.pulls import Pulled, PullOutcome


@click.command()
@click.argument("reference", metavar="NAME:VERSION")
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@selector_option
@click.option(
    "--keep", metavar="DURATION", default="24h", show_default=True,
    help="How long the images are kept for an instance to use them.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@wait_options
@why_option
@store_option
@click.pass_context
def pull(
    context: click.Context,
    /,
    *,
    reference: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    keep: str,
    dry_run: bool,
    waits: bool,
    timeout: str,
    why: str,
) -> None:
    """Pull the images of an app on nodes, before an instance needs them.

    They are not collected as garbage until an instance uses them, or --keep is over. A node that is away pulls when it is
    back. Pull everywhere, then upgrade with --at, and all nodes switch over at one time.

    \b
    roj pull web:v2 node1 node2 --wait --timeout 10m
    roj pull web:v2 -l role=web --keep 7d -m "for Saturday"
    """
    from roj.client.pulls import order_pulls

    faults: list[Fault] = []
    patience = timeout_of(timeout, faults)
    found = taken("NAME:VERSION", parse_app_reference, [reference], faults)
    seconds = next(iter(taken("--keep", parse_duration, [keep], faults)), 0.0)
    meant = selector_of(selector, faults)
    if bool(nodes) == bool(selector):
        faults.append(Fault("NODE", "name a node, or choose nodes by -l"))
    if faults:
        raise InvalidInput(faults)
    ((name, version),) = found
    with opened(context) as client:
        done = order_pulls(
            client, name, version, nodes_of(client, nodes, meant), keep=seconds, why=why, dry_run=dry_run,
            told=_told(dry_run),
        )  # fmt: skip
        if waits and not dry_run:
            _wait(context, client, done, patience)


def _told(dry_run: bool) -> Callable[[Pulled], None]:
    def tell(made: Pulled) -> None:
        would = "would be told" if dry_run else "is told"
        say(f"{made.node} {would} to pull {made.order.app}, and keep it until {in_full(made.order.expires)}")
        if made.away:
            say(f"{made.node} is away: it does that when it is back")

    return tell


def _wait(context: click.Context, client: Client, pulls: list[Pulled], timeout: float) -> None:
    from roj.client.pulls import wait_for_pulls

    def words(outcome: PullOutcome) -> str:
        return f"{outcome.node}: {outcome.result}" + (f": {outcome.message}" if outcome.message else "")

    try:
        outcomes = wait_for_pulls(client, pulls, timeout, lambda outcome: say(words(outcome)))
    except KeyboardInterrupt:
        say("\nno longer waiting; the order stands.")
        context.exit(INTERRUPTED)
    results = [outcome.result for outcome in outcomes]
    if "failed" in results or "pending" in results:
        say("The order stands. `roj inspect node NODE` shows how it goes on.")
        context.exit(FAILED if "failed" in results else NOT_CONVERGED)
