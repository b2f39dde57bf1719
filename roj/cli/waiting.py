"""`--wait` and `--timeout`: what every command does that waits for nodes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from roj.api.duration import parse_duration
from roj.api.faults import Fault
from roj.cli.context import Function, say
from roj.cli.errors import FAILED, INTERRUPTED, NOT_CONVERGED
from roj.cli.flags import taken
from roj.cli.output import with_next_try
from roj.client.client import Client
from roj.client.waiting import Awaited, Judge, Outcome, wait, worst


def wait_options(function: Function) -> Function:
    """Adds `--wait`, passed on as `waits`, and `--timeout`, as text for `timeout_of`."""
    timeout = click.option(
        "--timeout", metavar="DURATION", default="60s", show_default=True,
        help="How long --wait waits: 500ms, 60s, 2m, 1h30m.",
    )  # fmt: skip
    waiting = click.option(
        "--wait", "waits", is_flag=True,
        help="Wait until it is done: 0 done, 1 failed, 3 not in time; Ctrl-C: 130, and the order stands.",
    )  # fmt: skip
    return waiting(timeout(function))


def timeout_of(text: str, faults: list[Fault]) -> float:
    """Seconds; a text that is no duration is added to `faults`, to be told with all the others."""
    return next(iter(taken("--timeout", parse_duration, [text], faults)), 0.0)


def wait_and_tell(
    context: click.Context,
    client: Client,
    awaited: Sequence[Awaited],
    timeout: float,
    judge: Judge | None = None,
) -> None:
    """Wait, tell on stderr how it goes, and end the command with the worst of the outcomes, unless that is 0."""

    def words(outcome: Outcome) -> str:
        message = with_next_try(outcome.message, outcome.next_try, client.environment.now())
        return outcome.phase + (f": {message}" if message else "")

    def tell(outcome: Outcome) -> None:
        say(f"{outcome.awaited.id}: {words(outcome)}")

    try:
        outcomes = wait(client, awaited, timeout, tell, judge)
    except KeyboardInterrupt:
        end = "; the order stands" if judge is None else ""
        say(f"\nno longer waiting{end}. `roj instances` shows how it goes on.")
        context.exit(INTERRUPTED)
    result = worst(outcomes)
    if result == "converged":
        return
    late = "not waited for any longer" if result == "failed" else f"not in {timeout:g} s"
    for outcome in outcomes:
        if outcome.result == "pending":
            say(f"{outcome.awaited.id}: {late}: {words(outcome)}")
    stands = "The order stands. " if judge is None else ""
    say(f"{stands}`roj instances` shows how it goes on.")
    context.exit(FAILED if result == "failed" else NOT_CONVERGED)
