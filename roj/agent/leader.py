"""Leader: the election of the agent that runs what is cluster-wide, the rollouts (DESIGN.md section 4, "Two locks").

Whoever has a rollout to start pokes the lock's key; agents that stand wait on that key alone, and only where there is
something to do does one of them take the lock. So a cluster without rollouts has no leader and no session for one. The
session has a TTL of 15 s, and the lock is checked inside every transaction that is made under it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from roj.api import keys
from roj.client.client import Client
from roj.controllers.rollout import Rollouts
from roj.environment import Environment
from roj.framework.backoff import Backoff
from roj.store.interface import CheckSession, Store, StoreDenied, StoreError

log = logging.getLogger(__name__)

LOCK = "rollouts"
TTL = 15.0
"""Seconds that the leader's session lives at least after a renewal (DESIGN.md section 4)."""
RENEW = 5.0
"""Seconds between two renewals."""
WAIT = 300.0
"""Seconds of one wait for the lock's key to change, which is also the time between two looks without a change."""
DENIED = 600.0
"""Seconds until an agent whose token may not lead asks again."""

Lead = Literal["auto", "yes", "no"]


class Leader:
    """One agent's part in the election: the body of a thread."""

    def __init__(
        self, environment: Environment, store: Store, node: str, lead: Lead, *, joined: Callable[[], bool]
    ) -> None:
        """Nothing is asked of the store before `run`.

        Args:
            store: is cloned.
            node: this agent's node: it stands in the lock, and in the status of rollouts.
            lead: `auto` stands unless the token may not; `yes` says aloud that it may not.
            joined: whether the node is in its cluster: in a store that is empty or another cluster's, and while another
                machine is the node's agent, it does not stand.
        """
        self._environment = environment
        self._store = store.clone()
        self._node = node
        self._lead = lead
        self._joined = joined
        self._stopping = environment.event()
        self._session = ""
        self._rollouts = Rollouts(Client(self._store, environment, f"agent@{node}"), node, self._guard)
        self._backoff = Backoff(first=1.0, longest=30.0)

    def run(self) -> None:
        """Wait for work, take the lock, do it; until `stop`."""
        failures = index = 0
        while not self._stopping.is_set():
            if not self._joined():
                self._stopping.wait(RENEW)
                continue
            try:
                index = self._turn(index)
                failures = 0
            except StoreDenied as denied:
                tell = log.warning if self._lead == "yes" else log.info
                tell("this agent runs no rollouts: its token may not (%s)", denied)
                self._stopping.wait(DENIED)
            except StoreError as error:
                failures += 1
                log.info("rollouts wait for the store: %s", error)
                self._stopping.wait(self._backoff.delay(failures, self._environment.random))

    def stop(self) -> None:
        """End soon. A wait for the store is cut short."""
        self._stopping.set()
        if not self._session:  # else it looks soon, and lets the lock go
            self._store.close()

    def stopped(self) -> bool:
        return self._stopping.is_set()

    def _guard(self) -> CheckSession:
        return CheckSession(keys.lock(LOCK), self._session)

    def _turn(self, index: int) -> int:
        """One wait, and what is to be done then; the index to wait from."""
        listing = self._store.watch(keys.LOCKS, index, WAIT if index else 0.0)
        if not listing.entries and self._joined():
            # Without it every write in the store would wake the wait. Where it is there and was not shown, the conflict
            # is a failure like others, with its pause.
            self._store.create(keys.lock(LOCK), b"{}")
            return 0
        free = not any(entry.key == keys.lock(LOCK) and entry.session for entry in listing.entries)
        led = free and listing.entries and self._may_lead() and self._rollouts.active()
        if led:
            self._lead_on()
        self._stopping.wait(
            1.0
        )  # a turn that ends at once, whatever the store answers, is not repeated at once
        return listing.index if listing.entries and not led and listing.index >= index else 0

    def _may_lead(self) -> bool:
        return self._joined() and not self._stopping.is_set()

    def _lead_on(self) -> None:
        """Take the lock and carry out what there is, until nothing is left to do or the lock is lost."""
        self._session = self._store.open_session(f"roj rollouts {self._node}", ttl=TTL, checked=True)
        try:
            if not self._store.acquire(keys.lock(LOCK), self._node.encode(), self._session):
                return
            log.info("this agent runs the cluster's rollouts now")
            self._work()
            log.info("this agent has no rollouts to run any more")
        finally:
            self._resign()

    def _work(self) -> None:
        renewed = self._environment.monotonic()
        due: dict[str, float] = {}
        looked = -RENEW
        while self._may_lead():
            now = self._environment.monotonic()
            if now - renewed >= RENEW:
                if not self._store.renew_session(self._session):
                    log.warning("another agent may run the rollouts now: the session ended")
                    return
                renewed = now
            if now - looked >= RENEW or not due:
                looked = now
                due = {name: due.get(name, now) for name in self._rollouts.active()}
                if not due:
                    return
            for name, when in list(due.items()):
                if when > now:
                    continue
                after = self._rollouts.reconcile(name)
                if after is None:
                    due.pop(name)
                else:
                    due[name] = self._environment.monotonic() + after
            nearest = min(due.values(), default=now) - self._environment.monotonic()
            self._stopping.wait(min(max(nearest, 0.05), RENEW))

    def _resign(self) -> None:
        session, self._session = self._session, ""
        try:
            self._store.release(keys.lock(LOCK), b"{}", session)
            self._store.end_session(session)
        except StoreError as error:
            log.info("the lock of rollouts goes with its session: %s", error)
