"""`roj start`, `roj stop`, `roj undeploy`, `roj adopt`: what operators want of instances that are there."""

from __future__ import annotations

from typing import Any

import click

from roj.api.faults import Fault, InvalidInput
from roj.api.instance import Goal
from roj.cli.apps import why_option
from roj.cli.choosing import choice_of, choice_options, chosen, confirm, yes_option
from roj.cli.context import opened, say, settings_of, store_option
from roj.cli.plans import DRY_RUN, dry_run_options, end_of_plan, refuse_exit_code
from roj.cli.terms import if_change_option, moment_of, until, when_options
from roj.cli.waiting import timeout_of, wait_and_tell, wait_options

_DONE = {"start": "is to run", "stop": "is to stop, and stays there", "undeploy": "is to be removed"}
_WOULD = {"start": "would run", "stop": "would stop, and stay there", "undeploy": "would be removed"}


def _command(goal: Goal, text: str) -> click.Command:
    @click.command(goal, help=text)
    @click.argument("references", metavar="[INSTANCE]...", nargs=-1)
    @choice_options
    @when_options
    @if_change_option
    @dry_run_options(DRY_RUN)
    @wait_options
    @why_option
    @store_option
    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> None:
        _set(context, goal, **given)

    if goal != "start":
        command = yes_option(command)
    return command


def _set(
    context: click.Context,
    goal: Goal,
    *,
    references: tuple[str, ...],
    app: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    at: str | None,
    now: bool,
    if_change: str,
    dry_run: bool,
    exit_code: bool,
    waits: bool,
    timeout: str,
    why: str,
    yes: bool = True,
) -> None:
    from roj.client.changes import Terms
    from roj.client.goals import set_goals
    from roj.client.waiting import Awaited

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    faults: list[Fault] = []
    environment = settings_of(context).the_environment()
    patience = timeout_of(timeout, faults)
    choice = choice_of(references, app, nodes, selector, faults)
    moment = moment_of(at, environment, faults)
    if faults:
        raise InvalidInput(faults)
    with opened(context, dry_run=dry_run) as client:
        # What is undeployed by its node alone, and that was forgotten, is to be undeployed once more.
        meant = chosen(client, references, choice, leaving=goal == "undeploy")
        if choice is not None and not dry_run:
            confirm(goal, meant, yes=yes)
        changes = set_goals(client, meant, goal, Terms(why, moment, now, if_change))
        for change in changes:
            if change.removed:
                removed = "would be" if dry_run else "is"
                say(f"{change.id} {removed} removed: {change.node} was forgotten")
                continue
            already = "" if change.written else " already"
            words = _WOULD if dry_run and change.written else _DONE
            say(f"{change.id} {words[goal]}{already}")
            if change.away:
                say(f"{change.node} is away: it does that when it is back")
        if waits and not dry_run:
            awaited = [
                Awaited(change.node, change.id, change.uid, goal, change.generation) for change in changes
            ]
            wait_and_tell(context, client, awaited, patience + until(moment, environment))
    end_of_plan(context, exit_code=exit_code, changes=any(change.written for change in changes))


_REFERENCES = "INSTANCE is an id, its unambiguous beginning, or NODE/ID."
start = _command(
    "start",
    f"Start instances that were stopped.\n\n{_REFERENCES}\n\n"
    "\b\nroj start web-ixbix --wait\nroj start node1/web-ixbix\nroj start --app web --at 06:00",
)
stop = _command(
    "stop",
    f"Stop instances, and keep them with their containers.\n\n{_REFERENCES}\n\n"
    '\b\nroj stop web-ixbix --wait --timeout 2m -m "new disk"\nroj stop --node node1 --yes\n'
    "roj stop --app web:v1 -l zone=a --at 02:00",
)
undeploy = _command(
    "undeploy",
    "Stop instances and remove them, with their containers; named volumes stay.\n\n"
    f"That is not taken back. {_REFERENCES}\n\n"
    '\b\nroj undeploy web-ixbix --wait\nroj undeploy node1/web-ixbix -m "moved to node2"\n'
    "roj undeploy --app web:v1 --yes",
)


@click.command()
@click.argument("reference", metavar="INSTANCE")
@dry_run_options(DRY_RUN)
@why_option
@store_option
@click.pass_context
def adopt(context: click.Context, /, *, reference: str, dry_run: bool, exit_code: bool, why: str) -> None:
    """Write down as wanted what a node obeys or reports.

    It ends a hold, where the store went back to an older order: the newer one, which the node obeys, is put back. And it
    claims an unclaimed instance, of which the store has no record.

    \b
    roj adopt web-ixbix
    roj adopt node1/web-ixbix -m "Consul was restored to last night"
    """
    from roj.client.adoption import adopt as put_back

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    with opened(context, dry_run=dry_run) as client:
        change = put_back(client, reference, why)
    already = "" if change.written else " already"
    be = "would be" if dry_run and change.written else "is"
    say(f"{change.id} {be} written down{already}: goal {change.goal}, generation {change.generation}")
    end_of_plan(context, exit_code=exit_code, changes=change.written)
