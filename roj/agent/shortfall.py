"""What keeps a node from being as it should be, in words and as an exit code of `roj agent --once`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from roj.store.interface import StoreDenied, StoreError, StoreUnavailable

NOT_CONVERGED, UNREACHABLE, DENIED = 3, 6, 7

Cause = Literal["work", "stays", "unreachable", "denied"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One thing that is not as it should be."""

    words: str
    cause: Cause = "work"
    """`work`: the agent is at it. `stays`: until somebody orders or mends something. Else what is away, or denies."""


def of_store(words: str, failure: Exception | None, otherwise: Cause = "work") -> Shortfall:
    """A shortfall with the reason why, and what to do, where it is the store's doing."""
    match failure:
        case StoreDenied():
            cause: Cause = "denied"
            advice = f"{failure.advice} docs/operations.md has the rules of a node's token".lstrip()
        case StoreUnavailable():
            cause = "unreachable"
            advice = (
                failure.advice
                or "Is the store running there? --store, ROJ_STORE or CONSUL_HTTP_ADDR name another"
            )
        case StoreError():
            cause, advice = otherwise, failure.advice
        case _:
            return Shortfall(words, otherwise)
    reason = "" if str(failure) in words else f": {failure}"
    words = f"{words}{reason}".rstrip(".")
    return Shortfall(f"{words}. {advice}" if advice else words, cause)


def of_docker(problem: str) -> Shortfall:
    """Docker does not answer."""
    words = (
        problem.rstrip(".")
        if "does not answer" in problem
        else f"Docker does not answer: {problem.rstrip('.')}"
    )
    return Shortfall(
        f"{words}. Is Docker running there, and may you use it? `docker version` tells", "unreachable"
    )


def exit_code(missing: Iterable[Shortfall]) -> int:
    """0 where nothing is missing, else the worst of 3, 6 and 7."""
    codes = {"denied": DENIED, "unreachable": UNREACHABLE}
    return max((codes.get(each.cause, NOT_CONVERGED) for each in missing), default=0)


def is_idle(missing: Iterable[Shortfall]) -> bool:
    """Whether the agent can do nothing more about it: nothing that is missing is its work."""
    return all(each.cause != "work" for each in missing)
