"""The node's lease, `observed/<node>/lease`: who is this node's agent, and that it lives.

It is a report, and a guard between two machines of one name; never a fence for Docker (DESIGN.md section 4). Its session
lives TTL seconds at least after each renewal, and has no lock-delay, so that a node whose agent stopped or died is free
for the next one. The session's id is kept in the state directory: an agent that is started again after a crash goes on
with it, and nobody sees a gap.

    held by nobody                         taken
    held by this machine                   gone on with, in that machine's session
    held by another, or who knows whom     HeldElsewhere; with `takeover` that session is ended and the lease taken
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import MachineIdentity
from roj.api.record import rfc3339
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.store.interface import Entry, Store, StoreUnavailable

log = logging.getLogger(__name__)

TTL = 60.0
"""Seconds that the session lives at least after a renewal (the store may take twice as long to end it)."""
RENEW = 30.0
"""Seconds between renewals."""
SESSION = "session"
"""The state file with the session's id."""
_TRIES = 3


class HeldElsewhere(Exception):
    """Another machine is this node's agent; `holder` is what it says of itself, None if that does not parse."""

    def __init__(self, node: str, holder: MachineIdentity | None) -> None:
        self.node = node
        self.holder = holder
        super().__init__(
            f"the lease of node {node} is held by {describe(holder)}. Stop that agent, give this one another --node, or "
            "take the lease with --takeover"
        )


def describe(holder: MachineIdentity | None) -> str:
    """Who a holder is, for people."""
    if holder is None:
        return "somebody whose record does not parse"
    where = holder.hostname or "a machine without a name"
    machine = f", machine id {holder.machine_id[:12]}" if holder.machine_id else ""
    return f"{where} (process {holder.pid}{machine}) since {rfc3339(holder.since)}"


def same_agent(one: MachineIdentity, other: MachineIdentity) -> bool:
    """Whether both are one agent's: same state directory, machine and Docker daemon.

    A Docker id that is not known yet, as Docker was never reached, agrees with any. One that differs does not: the
    machine may be a copy of the other, state directory and all.
    """
    if "" in (one.docker_id, other.docker_id):
        other = other.model_copy(update={"docker_id": one.docker_id})
    return one.same_machine(other)


class Lease:
    """One agent's hold on its node's lease. For one thread at a time, except `held`."""

    def __init__(
        self,
        environment: Environment,
        state: StateDirectory,
        node: str,
        identity: Callable[[], MachineIdentity],
    ) -> None:
        """Nothing is asked of the store yet.

        Args:
            identity: who this machine is now; called when the lease is taken and looked at.
        """
        self._environment = environment
        self._state = state
        self._key = keys.lease(node)
        self._node = node
        self._identity = identity
        self._session: str | None = None
        """The session that this process opened or went on with; None: none since it was started."""
        self._taken = False
        """Whether the lease was taken in that session: one alone is no lease."""
        self._until = 0.0
        self._takes = 0

    @property
    def takes(self) -> int:
        """How often it was taken anew: each time the store may have lost other reports with it."""
        return self._takes

    @property
    def held(self) -> bool:
        """Whether the lease is certainly held: the store does not end the session before `until`."""
        return self._taken and self._environment.monotonic() < self._until

    @property
    def until(self) -> float:
        """The moment, of the monotonic clock, up to which the last renewal certainly lasts: TTL after it was sent."""
        return self._until

    def take(self, store: Store, *, takeover: bool = False) -> None:
        """Hold the lease. Where it is held already: 2 requests and no write. Else 1 read, 1 or 2 requests for the
        session, and 1 write, which says who holds it.

        Raises:
            HeldElsewhere: another machine holds it.
            StoreError: the store failed; whether the lease is held is not known.
        """
        for _ in range(_TRIES):
            me = self._identity()
            entry = store.get(self._key, consistent=True)
            session = self._session_of(entry, me)
            if session is None:
                self._taken = False
                holder = _holder(entry)
                if not takeover:
                    raise HeldElsewhere(self._node, holder)
                assert entry is not None
                log.warning("taking over the lease of node %s from %s", self._node, describe(holder))
                store.end_session(entry.session)
                continue
            sent = self._environment.monotonic()
            if not session or not store.renew_session(session):
                sent = self._environment.monotonic()
                session = store.open_session(f"roj agent of {self._node}", ttl=TTL, checked=True)
            self._remember(session)
            if self._says(entry, me, session):
                self._taken, self._until = True, sent + TTL
                return
            if store.acquire(self._key, me.encode(), session):
                self._taken, self._until = True, sent + TTL
                self._takes += 1
                return
            self._taken = False
        raise StoreUnavailable(f"the lease of node {self._node} is refused, though nobody holds it")

    def renew(self, store: Store) -> bool:
        """Let the session live on: 1 request, no write. False: it has ended, or never held the lease.

        Raises:
            StoreError: the store failed; the session may live on or end.
        """
        if self._session is None or not self._taken:
            return False
        sent = self._environment.monotonic()
        if store.renew_session(self._session):
            self._until = sent + TTL
            return True
        self._taken = False
        return False

    def release(self, store: Store) -> None:
        """Let the lease go, then end the session: 2 writes; nothing where it was not taken.

        The key stays, with what its last holder said of itself.

        Raises:
            StoreError: the store failed; the session ends by itself within twice the TTL.
        """
        if self._session is None:
            return
        session, self._session, self._taken = self._session, None, False
        store.release(self._key, self._identity().encode(), session)
        store.end_session(session)
        try:
            self._state.delete(SESSION)
        except OSError as error:  # the next start finds that it has ended
            log.warning("the session's id could not be deleted: %s", error)

    def _session_of(self, entry: Entry | None, me: MachineIdentity) -> str | None:
        """The session to hold the lease with: ours, `""` for a new one; None: another machine holds it."""
        if entry is None or not entry.session:
            # One that was saved but holds nothing may be another's by now, where a state directory was copied.
            return self._session or ""
        if entry.session == self._session:
            return self._session
        holder = _holder(entry)
        if holder is not None:
            return entry.session if same_agent(holder, me) else None
        return entry.session if entry.session == self._saved() else None

    def _says(self, entry: Entry | None, me: MachineIdentity, session: str) -> bool:
        """Whether the store has the lease as it is to be already."""
        if entry is None or entry.session != session:
            return False
        holder = _holder(entry)
        return holder is not None and holder.model_copy(update={"since": me.since}) == me

    def _saved(self) -> str:
        try:
            file = self._state.read(SESSION)
        except OSError as error:
            log.warning("the session's id could not be read: %s", error)
            return ""
        return file.value.decode(errors="replace") if file is not None else ""

    def _remember(self, session: str) -> None:
        if session == self._session:
            return
        self._session, self._taken = session, False
        if session == self._saved():
            return
        try:
            self._state.write(SESSION, session.encode())
        except OSError as error:  # the lease's value says whose it is too
            log.warning("the session's id could not be written down: %s", error)


def _holder(entry: Entry | None) -> MachineIdentity | None:
    if entry is None:
        return None
    try:
        return MachineIdentity.decode(entry.value)
    except UnreadableRecord:
        return None
