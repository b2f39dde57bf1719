"""A client: who asks, of which store; and how a write is made certain.

The operations are functions of their own modules, each with the number of requests that it makes: `apps`, `deployment`,
`goals`, `adoption`, `waiting`, `restoration`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roj.client import errors
from roj.environment import Environment
from roj.store.interface import Conflict, Operation, Store, StoreUnavailable, check_size

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
    dry_run: bool = False
    """Everything is looked at and refused as ever, and nothing is written."""

    def write(self, operations: Sequence[Operation], applied: Callable[[], bool], *, otherwise: str) -> None:
        """Run a transaction: 1 request, none in a dry run; and find out what became of it where its answer is lost: 1 or
        2 more a try.

        It is repeated only after a look that did not find it, and its preconditions do not hold a second time: one
        that was on its way all along is not applied twice.

        Args:
            operations: with preconditions that do not hold a second time.
            applied: whether the store has what was to be written: looks for the write's own change id.
            otherwise: what the operator can do where the outcome stays unknown.

        Raises:
            roj.store.interface.Conflict: a precondition did not hold; nothing was written.
            roj.store.interface.TooLarge: the store does not take so much at once.
            errors.Unreachable: no answer within PATIENCE; it may have been written.
        """
        if self.dry_run:
            check_size(operations)
            return
        environment = self.environment
        deadline = environment.monotonic() + PATIENCE
        delay, unsure = 0.1, False
        refused: Conflict | None = None
        while True:
            try:
                if unsure and applied():
                    return
                if refused is not None:
                    raise refused
                self.store.transact(operations)
                return
            except Conflict as conflict:
                if not unsure or refused is not None:
                    raise
                refused = conflict
                continue
            except StoreUnavailable as error:
                unsure = True
                if environment.monotonic() + delay > deadline:
                    raise errors.Unreachable(
                        f"the store {error}; whether it was written is not known", hint=otherwise
                    ) from error
            environment.sleep(delay)
            delay = min(delay * 2, 2.0)

    def again(self, attempt: Callable[[], bool], *, patient: bool = True) -> bool:
        """Call `attempt` until it returns True, at most TRIES times, pausing in between; whether it did.

        It returns False where somebody else wrote first. `patient`: where the store does not answer a read of it, it is
        called again for PATIENCE: a command that has written something does not give up half-way at once.

        Raises:
            StoreUnavailable: the store did not answer a read, at last.
        """
        environment = self.environment
        deadline = environment.monotonic() + PATIENCE
        tries = 0
        while tries < TRIES:
            try:
                if attempt():
                    return True
                tries += 1
                pause = environment.random.uniform(0.0, min(0.02 * 2**tries, 1.0))
            except StoreUnavailable:
                pause = 0.5
                if not patient or environment.monotonic() + pause > deadline:
                    raise
            environment.sleep(pause)
        return False
