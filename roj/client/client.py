"""A client: who asks, of which store; and how a write is made certain.

The operations are functions of their own modules: `apps`, `deployment`, `goals`, `adoption`, `waiting`, `restoration`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from roj.environment import Environment
from roj.store.interface import Conflict, Operation, Store, StoreUnavailable

PATIENCE = 10.0
"""Seconds after which an operation gives up on the store."""
TRIES = 10
"""Times that an operation begins anew because somebody else wrote first."""


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to one store for one person."""

    store: Store
    environment: Environment
    who: str = ""

    def write(self, operations: list[Operation], applied: Callable[[], bool]) -> None:
        """Run a transaction, and find out what became of it where its answer is lost.

        Args:
            operations: with preconditions that do not hold a second time.
            applied: whether the store has what was to be written: looks for the write's own change id.

        Raises:
            roj.store.interface.Conflict: a precondition did not hold.
            StoreUnavailable: the store did not answer in time; the write may have been applied.
        """
        deadline = self.environment.monotonic() + PATIENCE
        delay, unsure = 0.1, False
        while True:
            try:
                self.store.transact(operations)
                return
            except Conflict:
                if unsure and applied():
                    return
                raise
            except StoreUnavailable:
                unsure = True
                if self.environment.monotonic() + delay > deadline:
                    raise
            self.environment.sleep(delay)
            delay *= 2

    def again(self, attempt: Callable[[], bool]) -> bool:
        """Call `attempt` until it returns True, at most TRIES times, pausing in between; whether it did.

        It returns False where somebody else wrote first.
        """
        for number in range(TRIES):
            if attempt():
                return True
            self.environment.sleep(self.environment.random.uniform(0.0, 0.02 * 2**number))
        return False
