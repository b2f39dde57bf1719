"""Conditions: lasting facts about an object, as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from roj.api.record import Part, Time


class Condition(Part):
    """One lasting fact: `type` is so or not, since when, and why."""

    type: str
    """`StoreWentBack`, `ImageAvailable`, `PortsAvailable`, `CrashLoop`, `DockerReachable`, `RecordUnreadable`, ..."""
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    """One word in CamelCase."""
    message: str = ""
    since: Time


def with_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """`conditions` with `new` in place of the one of its type; `since` stays where the status did not change."""
    others = [c for c in conditions if c.type != new.type]
    for old in conditions:
        if old.type == new.type and old.status == new.status:
            new = new.model_copy(update={"since": old.since})
    return tuple(sorted([*others, new], key=lambda c: c.type))
