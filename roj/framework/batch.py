"""What goes into one transaction of the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roj.framework.events import Write
from roj.store.interface import Operation, Set, TooLarge, check_size


def sets(writes: Iterable[Write]) -> list[Operation]:
    """The operations that write these events."""
    return [Set(write.key, write.value) for write in writes]


def fits(operations: Sequence[Operation]) -> bool:
    """Whether the store takes them at once."""
    try:
        check_size(operations)
    except TooLarge:
        return False
    return True


def fitting(operations: Sequence[Operation], writes: Iterable[Write]) -> list[Write]:
    """As many of the writes, from the first on, as one transaction takes besides the operations."""
    found: list[Write] = []
    for write in writes:
        if not fits([*operations, *sets([*found, write])]):
            break
        found.append(write)
    return found
