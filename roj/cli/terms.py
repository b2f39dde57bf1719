"""`--at` and `--now`: when nodes act on a change."""

from __future__ import annotations

from datetime import datetime

import click

from roj.api.duration import format_duration
from roj.api.faults import Fault
from roj.api.when import in_full, parse_when
from roj.cli.context import Function, say
from roj.cli.flags import taken
from roj.environment import Environment


def when_options(function: Function) -> Function:
    """Adds `--at`, as text for `moment_of`, and `--now`."""
    at = click.option(
        "--at", metavar="TIME",
        help="The node does not act before, by its clock: 2026-11-22T02:00:00Z, 02:00 (the next one here), +10m. "
        "--timeout counts from then.",
    )  # fmt: skip
    now = click.option(
        "--now", is_flag=True, help="Do not wait for a maintenance window of the node; that is recorded."
    )
    return at(now(function))


def if_change_option(function: Function) -> Function:
    """Adds `--if-change`."""
    return click.option(
        "--if-change", metavar="ID", default="",
        help="Only if nothing changed since: the newest change of each instance begins so.",
    )(function)  # fmt: skip


def moment_of(text: str | None, environment: Environment, faults: list[Fault]) -> datetime | None:
    """What `--at` means now; it is said back in full. What is none is added to `faults`."""
    if text is None:
        return None
    now = environment.now()
    moment: datetime | None = next(
        iter(taken("--at", lambda each: parse_when(each, now), [text], faults)), None
    )
    if moment is not None:
        say(f"at {in_full(moment)}, in {format_duration(float(round((moment - now).total_seconds())))}")
    return moment


def until(moment: datetime | None, environment: Environment) -> float:
    """Seconds until then; none where it is not given, or has come."""
    return max((moment - environment.now()).total_seconds(), 0.0) if moment is not None else 0.0
