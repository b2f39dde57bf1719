"""A transaction as Consul takes it (https://developer.hashicorp.com/consul/api-docs/txn)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from roj.store.interface import (
    Check,
    CheckAbsent,
    CheckSession,
    Create,
    Delete,
    Discard,
    Operation,
    Set,
    Swap,
)

Step = dict[str, Any]


def steps_of(operations: Sequence[Operation]) -> list[tuple[int, Step]]:
    """Consul's operations, each with the position of ours that it belongs to."""
    return [(at, {"KV": step}) for at, operation in enumerate(operations) for step in _steps(operation)]


def _steps(operation: Operation) -> list[Step]:
    def step(verb: str, **more: object) -> Step:
        return {"Verb": verb, "Key": operation.key, **more}

    match operation:
        case Check(_, version):
            return [step("check-index", Index=version)]
        case CheckAbsent():
            return [step("check-not-exists")]
        case CheckSession(_, session):
            return [step("check-session", Session=session)]
        case Set(_, value):
            return [step("set", Value=_encoded(value))]
        case Create(_, value):
            return [step("cas", Value=_encoded(value), Index=0)]
        case Swap(_, _, version) if version <= 0:  # `cas` with index 0 creates; no key has that version
            return [step("check-index", Index=0)]
        case Swap(_, value, version):
            return [step("cas", Value=_encoded(value), Index=version)]
        case Delete(_, version):  # `delete-cas` alone succeeds where there is no such key
            return [step("check-index", Index=version), step("delete-cas", Index=version)]
        case Discard():
            return [step("delete")]


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
