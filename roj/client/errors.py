"""What an operator's request can come to, each with the exit code that `roj` ends with.

ClientError
 +- Failed        1  it was tried and failed
 +- Invalid       2  what was asked for cannot be meant; nothing was written
 +- NotConverged  3  not in time; the order stands
 +- NotFound      4  there is none; nothing was written
 +- Conflict      5  something else is there, or it is in use, or somebody changed it meanwhile
 +- Unreachable   6  the store or Docker does not answer
 +- Denied        7  the token may not
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from roj.api.faults import Fault


class ClientError(Exception):
    """A request that came to nothing, or not to all that was asked."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", faults: Iterable[Fault] = ()) -> None:
        """
        Args:
            message: what is wrong, in one line.
            hint: what to do next, as a command where there is one.
            faults: every fault of the input, each with its place.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.faults = tuple(faults)


class Failed(ClientError):
    """It was tried and failed."""


class Invalid(ClientError):
    """What was asked for cannot be meant; nothing was written."""

    exit_code = 2


class NotConverged(ClientError):
    """Not in time; the order stands."""

    exit_code = 3


class NotFound(ClientError):
    """There is none; nothing was written."""

    exit_code = 4


class Conflict(ClientError):
    """Something else is there, or it is in use, or somebody changed it meanwhile."""

    exit_code = 5


class Unreachable(ClientError):
    """The store or Docker does not answer."""

    exit_code = 6


class Denied(ClientError):
    """The token may not."""

    exit_code = 7
