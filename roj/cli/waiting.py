"""`--wait` and `--timeout`: what every command does that waits for nodes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from roj.api.duration import parse_duration
from roj.cli.context import Function, say
from roj.cli.errors import FAILED, INTERRUPTED, NOT_CONVERGED
from roj.cli.output import with_next_try
from roj.client.client import Client
from roj.client.waiting import Awaited, Outcome, wait, worst


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: str | float, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as problem:
            self.fail(str(problem), parameter, context)


def wait_options(function: Function) -> Function:
    """Adds `--wait` and `--timeout`."""
    timeout = click.option(
        "--timeout", metavar="DURATION", type=_Duration(), default="60s", show_default=True,
        help="How long --wait waits.",
    )  # fmt: skip
    waiting = click.option(
        "--wait", "waits", is_flag=True,
        help="Wait until it is done: 0 done, 1 failed, 3 not in time; Ctrl-C: 130, and the order stands.",
    )  # fmt: skip
    return waiting(timeout(function))


def wait_and_tell(context: click.Context, client: Client, awaited: Sequence[Awaited], timeout: float) -> None:
    """Wait, tell on stderr how it goes, and end the command with the worst of the outcomes, unless that is 0."""

    def words(outcome: Outcome) -> str:
        message = with_next_try(outcome.message, outcome.next_try, client.environment.now())
        return outcome.phase + (f": {message}" if message else "")

    def tell(outcome: Outcome) -> None:
        say(f"{outcome.awaited.id}: {words(outcome)}")

    try:
        outcomes = wait(client, awaited, timeout, tell)
    except KeyboardInterrupt:
        say("\nno longer waiting; the order stands. `roj instances` shows how it goes on.")
        context.exit(INTERRUPTED)
    result = worst(outcomes)
    if result == "converged":
        return
    late = "not waited for any longer" if result == "failed" else f"not in {timeout:g} s"
    for outcome in outcomes:
        if outcome.result == "pending":
            say(f"{outcome.awaited.id}: {late}: {words(outcome)}")
    say("The order stands. `roj instances` shows how it goes on.")
    context.exit(FAILED if result == "failed" else NOT_CONVERGED)
