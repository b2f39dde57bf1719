"""What goes wrong for an operator: what happened, to what, and what to do next; each with roj's exit code.

    ClientError
     +- Failed            1   the store or a node holds something that this cannot work with
     +- Invalid           2   the request itself is wrong; nothing was written
     +- NotFound          4   what it is about is not there; nothing was written
     +- Conflict          5   it is there as something else, in use, or was changed meanwhile
     +- Unreachable       6   the store did not answer; whether it was written is not known
     +- Denied            7   the store denies it to this token

What the store raises on a read (StoreUnavailable, StoreDenied) is passed on as it is: nothing was written then.
Outcomes of waiting are values, not errors (`roj.client.waiting`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from roj.api.faults import Fault


class ClientError(Exception):
    """An operation was refused or failed."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", faults: Iterable[Fault] = ()) -> None:
        """Say it.

        Args:
            message: what happened, to what.
            hint: what to do next, a sentence of its own.
            faults: everything that is wrong, where that is more than one thing.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.faults = tuple(faults)


class Failed(ClientError):
    """It cannot be done with what is there."""

    exit_code = 1


class Invalid(ClientError):
    """The request is wrong; nothing was written."""

    exit_code = 2


class NotFound(ClientError):
    """What it is about does not exist; nothing was written."""

    exit_code = 4


class Conflict(ClientError):
    """It exists as something else, is in use, or was changed meanwhile."""

    exit_code = 5


class Unreachable(ClientError):
    """The store did not answer; whether it was written is not known."""

    exit_code = 6


class Denied(ClientError):
    """The store denies it to this token."""

    exit_code = 7
