"""The retry policy, whole: what a handler's outcome means for its key.

    outcome                     the key runs again      its failures
    None                        when there is news      forgotten
    seconds                     after so many           forgotten
    TemporaryError(delay)       after the delay         kept
    PermanentError              when there is news      forgotten
    Conflict, the first few     at once, quietly        kept
    Conflict, one after another after backoff           one more
    any other exception         after backoff           one more

A conflict means that somebody else wrote first, and that the handler's view was old: the cure is to look again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from roj.environment import Random
from roj.framework.backoff import Backoff
from roj.framework.errors import PermanentError, TemporaryError
from roj.store.interface import Conflict

QUIET_CONFLICTS = 5
"""Conflicts without a success between them that are tried again at once; the next ones back off."""

Outcome = float | Exception | None
"""What a handler returned, or raised."""
Result = Literal["success", "requeue_after", "conflict", "temporary", "permanent", "error"]


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of a key between two runs."""

    failures: int = 0
    """In a row."""
    conflicts: int = 0
    """Since the last success."""


NONE = History()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the key."""

    result: Result
    after: float | None
    """Seconds until it runs again; None: when there is news."""
    history: History


def decide(outcome: Outcome, history: History, backoff: Backoff, random: Random) -> Decision:
    """The table above."""
    match outcome:
        case None:
            return Decision("success", None, NONE)
        case PermanentError():
            return Decision("permanent", None, NONE)
        case TemporaryError():
            return Decision("temporary", max(0.0, outcome.delay), history)
        case Conflict() if history.conflicts < QUIET_CONFLICTS:
            return Decision("conflict", 0.0, replace(history, conflicts=history.conflicts + 1))
        case Exception():
            failed = replace(history, failures=history.failures + 1)
            return Decision("error", backoff.delay(failed.failures, random), failed)
        case seconds:
            return Decision("requeue_after", max(0.0, seconds), NONE)
