"""`roj upgrade` and `roj rollback`: another app for instances that are there, or the one before."""

from __future__ import annotations

from collections.abc import Callable

import click

from roj.api.faults import Fault, InvalidInput
from roj.api.names import parse_app_reference
from roj.cli.apps import why_option
from roj.cli.choosing import choice_of, choice_options, chosen
from roj.cli.context import Function, opened, say, settings_of, store_option
from roj.cli.flags import taken
from roj.cli.plans import DRY_RUN, dry_run_options, end_of_plan, refuse_exit_code
from roj.cli.terms import if_change_option, moment_of, until, when_options
from roj.cli.waiting import timeout_of, wait_and_tell, wait_options
from roj.client.client import Client
from roj.client.upgrade import Terms, Upgrade
from roj.client.waiting import Awaited


def _terms_options(function: Function) -> Function:
    return when_options(if_change_option(dry_run_options(DRY_RUN)(function)))


@click.command()
@click.argument("reference", metavar="NAME:VERSION")
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@choice_options
@click.option("--other-app", is_flag=True, help="An app of another name than the instance runs is meant.")
@_terms_options
@wait_options
@why_option
@store_option
@click.pass_context
def upgrade(
    context: click.Context,
    /,
    *,
    reference: str,
    instances: tuple[str, ...],
    app: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    other_app: bool,
    at: str | None,
    now: bool,
    if_change: str,
    dry_run: bool,
    exit_code: bool,
    waits: bool,
    timeout: str,
    why: str,
) -> None:
    """Give instances another app, in place: their ids stay. Prints the id of each, alone on a line.

    The node pulls first, while the old containers serve. Then it starts the new ones beside the old ones, or, where they
    would be in each other's way, stops the old ones before. If the new ones are not launched, the old ones serve again,
    the instance is `failed`, and --wait ends with 1. A downgrade is the same command. INSTANCE is an id, its unambiguous
    beginning, or NODE/ID.

    \b
    roj upgrade web:v2 web-k3x5q --wait -m "faster start"
    roj upgrade web:v2 --app web:v1 --node node1
    roj upgrade web:v2 --app web -l zone=a --at 02:00
    """
    from roj.client.upgrade import upgrade as write

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    faults: list[Fault] = []
    patience = timeout_of(timeout, faults)
    moment = moment_of(at, settings_of(context).the_environment(), faults)
    found = taken("NAME:VERSION", parse_app_reference, [reference], faults)
    choice = choice_of(instances, app, nodes, selector, faults)
    if faults:
        raise InvalidInput(faults)
    ((name, version),) = found
    with opened(context, dry_run=dry_run) as client:
        done = write(
            client, name, version, chosen(client, instances, choice),
            terms=Terms(why=why, at=moment, now=now, if_change=if_change), other_app=other_app,
            told=_told(dry_run),
        )  # fmt: skip
        if waits and not dry_run:
            _wait(context, client, done, patience + until(moment, client.environment))
    end_of_plan(context, exit_code=exit_code, changes=any(made.written for made in done))


@click.command()
@click.argument("instances", metavar="[INSTANCE]...", nargs=-1)
@choice_options
@click.option("--to", "generation", metavar="GENERATION", type=int, help="Back to what this generation ran.")
@_terms_options
@wait_options
@why_option
@store_option
@click.pass_context
def rollback(
    context: click.Context,
    /,
    *,
    instances: tuple[str, ...],
    app: str,
    nodes: tuple[str, ...],
    selector: tuple[str, ...],
    generation: int | None,
    at: str | None,
    now: bool,
    if_change: str,
    dry_run: bool,
    exit_code: bool,
    waits: bool,
    timeout: str,
    why: str,
) -> None:
    """Go back to the last launched revision before the present one, as a new generation. Prints the ids.

    Its image is still on the node, so that no registry is needed. `roj history INSTANCE` shows what there was.

    \b
    roj rollback web-k3x5q --wait
    roj rollback web-k3x5q --to 3
    roj rollback --app web:v2 -l zone=a --now
    """
    from roj.client.upgrade import roll_back

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    faults: list[Fault] = []
    patience = timeout_of(timeout, faults)
    moment = moment_of(at, settings_of(context).the_environment(), faults)
    choice = choice_of(instances, app, nodes, selector, faults)
    if generation is not None and choice is not None:
        faults.append(Fault("--to", "goes with INSTANCE: every instance counts its own generations"))
    if faults:
        raise InvalidInput(faults)
    with opened(context, dry_run=dry_run) as client:
        done = roll_back(
            client, chosen(client, instances, choice), to=generation,
            terms=Terms(why=why, at=moment, now=now, if_change=if_change), told=_told(dry_run),
        )  # fmt: skip
        if waits and not dry_run:
            _wait(context, client, done, patience + until(moment, client.environment))
    end_of_plan(context, exit_code=exit_code, changes=any(made.written for made in done))


def _told(dry_run: bool) -> Callable[[Upgrade], None]:
    """Prints each instance as soon as the store has it."""

    def tell(made: Upgrade) -> None:
        click.echo(made.id)
        if not made.written:
            say(f"{made.id} is to run {made.app} already")
        else:
            will = "would be" if dry_run else "is to be"
            say(
                f"{made.id} on {made.node}: {made.before} {will} replaced by {made.app} (generation {made.generation})"
            )
        if made.goal == "stop":
            say(f"{made.id} is stopped, and stays so: `roj start {made.id}` starts it")
        if made.away:
            say(f"{made.node} is away: it does that when it is back")

    return tell


def _wait(context: click.Context, client: Client, done: list[Upgrade], patience: float) -> None:
    awaited = [
        Awaited(made.node, made.id, made.uid, made.goal, made.generation, app=made.app) for made in done
    ]
    wait_and_tell(context, client, awaited, patience)
