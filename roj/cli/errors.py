"""What went wrong, as one line, a hint and an exit code; and never a traceback unless asked for.

0 done                          5 conflict
1 failed                        6 store or Docker unreachable
2 usage or invalid input        7 denied
3 not converged in time        10 changes (plans, with --exit-code)
4 not found                   130 interrupted (Ctrl-C), 141 nobody reads stdout any more
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import click

DONE = 0
FAILED = 1
USAGE = 2
NOT_CONVERGED = 3
NOT_FOUND = 4
CONFLICT = 5
UNREACHABLE = 6
DENIED = 7
CHANGES = 10
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: what a program gets that writes to a `head` that has ended."""

EXIT_CODES: dict[int, str] = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "wrong usage or invalid input; nothing was written",
    NOT_CONVERGED: "not converged in time (`--wait`, `agent --once`)",
    NOT_FOUND: "not found; nothing was written",
    CONFLICT: "conflict: it is there already as something else, or in use, or was changed meanwhile",
    UNREACHABLE: "the store or Docker cannot be reached",
    DENIED: "the store denies it to this token",
    CHANGES: "there would be changes (`--dry-run --exit-code`)",
    INTERRUPTED: "interrupted by Ctrl-C; an order that was given stands",
    BROKEN_PIPE: "whoever read the output has closed it",
}
"""What each exit code means; `docs/cli.md` has the same table."""


@dataclass(slots=True)
class Outcome:
    """How a command ended."""

    code: int = DONE


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of an error."""

    code: int
    message: str
    hint: str = ""
    faults: tuple[str, ...] = ()
    expected: bool = True
    """False: a fault of roj's own."""


@contextmanager
def reported(variables: Mapping[str, str]) -> Iterator[Outcome]:
    """Turns whatever the body raises into words on stderr and a code in the outcome."""
    outcome = Outcome()
    try:
        yield outcome
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        outcome.code = USAGE
    except (click.Abort, KeyboardInterrupt):
        outcome.code = INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        outcome.code = BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  (the last resort: a command never ends in a traceback)
        report = explained(error)
        if variables.get("ROJ_DEBUG"):
            import traceback

            traceback.print_exception(error)
        _tell(report)
        outcome.code = report.code


def explained(error: Exception) -> Report:
    """What to say of `error`."""
    if isinstance(error, click.ClickException):
        return Report(FAILED, error.message)
    return (
        _of_client(error) or _of_store(error) or _of_docker(error) or _of_input(error) or _unexpected(error)
    )


# Each of these imports what it compares with only now: where nothing went wrong nothing need be known of errors.


def _of_client(error: Exception) -> Report | None:
    from roj.client.errors import ClientError

    if not isinstance(error, ClientError):
        return None
    return Report(error.exit_code, error.message, error.hint, _texts(error.faults))


def _of_store(error: Exception) -> Report | None:
    from roj.store.interface import Conflict, StoreDenied, StoreError, StoreUnavailable, TooLarge

    match error:
        case StoreUnavailable():
            hint = (
                error.advice
                or "Is it running there? --store, ROJ_STORE or CONSUL_HTTP_ADDR name another; `roj dev` needs no Consul."
            )
            return Report(UNREACHABLE, f"the store {error}", hint)
        case StoreDenied():
            rights = """An operator's has key_prefix "roj/v1/" with policy "write", or "read" to look only."""
            return Report(DENIED, f"the store {error}", f"{error.advice} {rights}".strip())
        case Conflict():
            return Report(
                CONFLICT, f"somebody else changed it meanwhile: {error}", "Look again, then repeat it."
            )
        case TooLarge():
            return Report(USAGE, str(error))
        case StoreError():
            return Report(FAILED, str(error))
    return None


def _of_docker(error: Exception) -> Report | None:
    from roj.runtime.interface import RuntimeUnavailable

    if not isinstance(error, RuntimeUnavailable):
        return None
    hint = "Is Docker running there, and may you use it? `docker version` tells."
    return Report(UNREACHABLE, f"Docker cannot be reached: {error}", hint)


def _of_input(error: Exception) -> Report | None:
    from roj.api.faults import InvalidInput, UnreadableRecord

    if isinstance(error, InvalidInput):
        faults = _texts(error.faults)
        if len(faults) == 1:
            return Report(USAGE, faults[0])
        return Report(USAGE, f"{len(faults)} faults:", faults=faults)
    if isinstance(error, UnreadableRecord):
        return Report(FAILED, str(error))
    return None


def _unexpected(error: Exception) -> Report:
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return Report(FAILED, f"unexpected: {what}", "ROJ_DEBUG=1 shows where.", expected=False)


def _texts(faults: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(fault) for fault in faults)


def _tell(report: Report) -> None:
    lines = [f"roj: {report.message}", *(f"  {fault}" for fault in report.faults)]
    if report.hint:
        lines.append(report.hint)
    click.echo("\n".join(lines), err=True)


def _discard_output() -> None:
    # Else the interpreter complains at its end that it cannot flush.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file, as in tests
        return
