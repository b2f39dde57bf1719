"""`roj start`, `roj stop`, `roj undeploy`, `roj adopt`: what operators want of instances that are there."""

from __future__ import annotations

import click

from roj.api.faults import Fault, InvalidInput
from roj.api.instance import Goal
from roj.cli.apps import why_option
from roj.cli.context import opened, say, store_option
from roj.cli.waiting import timeout_of, wait_and_tell, wait_options

_DONE = {"start": "is to run", "stop": "is to stop, and stays there", "undeploy": "is to be removed"}


def _command(goal: Goal, text: str) -> click.Command:
    @click.command(goal, help=text)
    @click.argument("references", metavar="INSTANCE...", nargs=-1, required=True)
    @wait_options
    @why_option
    @store_option
    @click.pass_context
    def command(
        context: click.Context, /, references: tuple[str, ...], waits: bool, timeout: str, why: str
    ) -> None:
        faults: list[Fault] = []
        patience = timeout_of(timeout, faults)
        if faults:
            raise InvalidInput(faults)
        _set(context, references, goal, why, patience if waits else None)

    return command


def _set(
    context: click.Context, references: tuple[str, ...], goal: Goal, why: str, timeout: float | None
) -> None:
    from roj.client.changes import Terms
    from roj.client.goals import set_goals
    from roj.client.waiting import Awaited

    with opened(context) as client:
        changes = set_goals(client, references, goal, Terms(why=why))
        for change in changes:
            if change.removed:
                say(f"{change.id} is removed: {change.node} was forgotten")
                continue
            already = "" if change.written else " already"
            say(f"{change.id} {_DONE[goal]}{already}")
            if change.away:
                say(f"{change.node} is away: it does that when it is back")
        if timeout is not None:
            awaited = [
                Awaited(change.node, change.id, change.uid, goal, change.generation) for change in changes
            ]
            wait_and_tell(context, client, awaited, timeout)


_REFERENCES = "INSTANCE is an id, its unambiguous beginning, or NODE/ID."
start = _command(
    "start",
    f"Start instances that were stopped.\n\n{_REFERENCES}\n\n\b\nroj start web-ixbix --wait\nroj start node1/web-ixbix",
)
stop = _command(
    "stop",
    f"Stop instances, and keep them with their containers.\n\n{_REFERENCES}\n\n"
    '\b\nroj stop web-ixbix --wait --timeout 2m -m "new disk"\nroj stop $(roj instances node1 -o name)',
)
undeploy = _command(
    "undeploy",
    "Stop instances and remove them, with their containers; named volumes stay.\n\n"
    f"That is not taken back. {_REFERENCES}\n\n"
    '\b\nroj undeploy web-ixbix --wait\nroj undeploy node1/web-ixbix -m "moved to node2"',
)


@click.command()
@click.argument("reference", metavar="INSTANCE")
@why_option
@store_option
@click.pass_context
def adopt(context: click.Context, reference: str, why: str) -> None:
    """Write down as wanted what a node obeys or reports.

    It ends a hold, where the store went back to an older order: the newer one, which the node obeys, is put back. And it
    claims an unclaimed instance, of which the store has no record.

    \b
    roj adopt web-ixbix
    roj adopt node1/web-ixbix -m "Consul was restored to last night"
    """
    from roj.client.adoption import adopt as put_back

    with opened(context) as client:
        change = put_back(client, reference, why)
    already = "" if change.written else " already"
    say(f"{change.id} is written down{already}: goal {change.goal}, generation {change.generation}")
