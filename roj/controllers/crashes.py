"""How long to wait before a container that ended by itself is started again.

At once after the first crash, then 1, 2, 4 ... to about 60 s, with jitter; a run of 60 s ends the count. What a person
did to a container is no crash and starts no back-off. This memory is of one process: after a restart of the agent the
first start is immediate again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from roj.environment import Environment
from roj.framework.backoff import Backoff

HEALTHY = 60.0
"""Seconds that a run lasts before the crashes before it are forgotten."""
LONGEST = 60.0
"""Seconds between two starts, jitter aside."""
MANY = 3
"""Crashes in a row that make a loop of it."""
HAND = 60.0
"""Seconds after a signal by hand within which an end is still its doing (`docker stop -t`)."""

_BACKOFF = Backoff(first=1.0, longest=LONGEST)


def delay_after(failures: int, jitter: float) -> float:
    """Seconds to wait after the `failures`-th crash in a row; `jitter` of [0, 1) spreads it by a quarter."""
    return _BACKOFF.ceiling(failures - 1) * (0.75 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one container of one revision of one life of an instance."""

    uid: str
    revision: str
    container: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is known of a container that does not stay up."""

    failures: int
    """Crashes and failed starts in a row."""
    at: float
    """When it may be started again, on the monotonic clock."""
    run: str
    """The run that was counted last: every one is counted once."""
    by_hand: bool = False
    """Its last end was a person's doing."""


class Crashes:
    """Crashes in a row, by container. Safe to use from several threads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lock = environment.lock()
        self._troubles: dict[Slot, Trouble] = {}
        self._hands: dict[str, float] = {}
        self._restarts: dict[Slot, int] = {}

    def restarted(self, slot: Slot, times: int = 1) -> None:
        """It was started again after a crash, by roj or by Docker."""
        with self._lock:
            self._restarts[slot] = self._restarts.get(slot, 0) + times

    def restarts(self, uid: str, revision: str) -> int:
        """Starts after a crash of all containers of a revision, since this process began to count."""
        with self._lock:
            return sum(
                count
                for slot, count in self._restarts.items()
                if (slot.uid, slot.revision) == (uid, revision)
            )

    def touched(self, container: str) -> None:
        """A signal was sent to the container with this id: if it ends now, that is no crash."""
        now = self._environment.monotonic()
        with self._lock:
            self._hands = {id: when for id, when in self._hands.items() if now - when < HAND}
            self._hands[container] = now

    def ended(self, slot: Slot, container: str, run: str, lasted: float) -> tuple[Trouble, bool]:
        """Count the end of a run, once.

        Args:
            slot: whose run it was.
            container: the container's id.
            run: what tells this run from others of the container: when it started.
            lasted: seconds that it ran.

        Returns: what is known now, and whether this end is news.
        """
        now = self._environment.monotonic()
        name = f"{container} {run}"
        with self._lock:
            known = self._troubles.get(slot)
            if known is not None and known.run == name:
                return known, False
            touched = self._hands.pop(container, None)
            if touched is not None and now - touched < HAND:
                new = Trouble(known.failures if known and lasted < HEALTHY else 0, now, name, by_hand=True)
            else:
                failures = (known.failures if known is not None and lasted < HEALTHY else 0) + 1
                new = Trouble(failures, now + delay_after(failures, self._environment.random.random()), name)
            self._troubles[slot] = new
            return new, True

    def began(self, slot: Slot) -> None:
        """A new run begins: its end counts, even if the clock says that it began when the last one did."""
        with self._lock:
            known = self._troubles.get(slot)
            if known is not None:
                self._troubles[slot] = replace(known, run="")

    def failed(self, slot: Slot) -> Trouble:
        """Count a start that the engine refused."""
        with self._lock:
            known = self._troubles.get(slot)
            failures = max(known.failures if known else 0, 1) + 1
            delay = delay_after(failures, self._environment.random.random())
            new = Trouble(failures, self._environment.monotonic() + delay, known.run if known else "")
            self._troubles[slot] = new
            return new

    def accepted(self, slot: Slot) -> None:
        """The engine started it after it had refused to: that it waited for a port, say, makes no crash loop of it."""
        with self._lock:
            self._troubles.pop(slot, None)

    def lasts(self, slot: Slot, seconds: float) -> None:
        """The container has run for so many seconds: after a minute its crashes are forgotten."""
        if seconds >= HEALTHY:
            with self._lock:
                self._troubles.pop(slot, None)

    def trouble(self, slot: Slot) -> Trouble | None:
        with self._lock:
            return self._troubles.get(slot)

    def wait(self, slot: Slot) -> float:
        """Seconds until it may be started again; 0: now."""
        known = self.trouble(slot)
        return max(0.0, known.at - self._environment.monotonic()) if known else 0.0

    def forget(self, uid: str, revision: str | None = None) -> None:
        """Forget a life of an instance, or one revision of it."""

        def other(slot: Slot) -> bool:
            return slot.uid != uid or revision not in (None, slot.revision)

        with self._lock:
            self._troubles = {slot: value for slot, value in self._troubles.items() if other(slot)}
            self._restarts = {slot: value for slot, value in self._restarts.items() if other(slot)}
