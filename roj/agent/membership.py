"""The node's place in its cluster: whose store it is, the sentinel, the lease; and what follows for the agent.

    joined    the lease is held: the node obeys and reports
    offline   the store cannot be reached: what the node was last told is kept and repaired, nothing is reported
    standby   another machine holds the lease, or the node was forgotten: nothing on the machine is changed
    empty     the store has lost its cluster: as offline, until `roj restore` puts it back
    foreign   the store is another cluster's: as offline

Every way out of `joined` is the store's doing, and none of them is an order to stop anything; only another machine that
was seen to hold the lease, or an operator's `forgotten`, makes the agent take its hands off (DESIGN.md sections 3 and 4).
Cluster id, sentinel, session and such a holder are kept in the state directory, so a start without the store is no
different from an outage.

Requests: one renewal each RENEW seconds, and three reads more with every LOOK-th; no writes. While not joined: one to
three reads a look, at most 15 s apart, by full jitter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from roj.agent.lease import RENEW, TTL, HeldElsewhere, Lease, describe
from roj.agent.sentinel import ForeignSentinel, Sentinel
from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import Cluster, MachineIdentity, Mark, Node
from roj.api.record import rfc3339
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.framework.backoff import Backoff
from roj.runtime.interface import RuntimeFailure
from roj.store.interface import Check, Conflict, Listing, Store, StoreError, StoreUnavailable

log = logging.getLogger(__name__)

State = Literal["offline", "joined", "standby", "foreign", "empty"]

CLUSTER = "cluster"
"""The state file with the cluster's record."""
ELSEWHERE = "elsewhere"
"""The state file with the machine that was last seen to hold the lease, until this one holds it."""
LOOK = 20
"""Renewals between two looks at cluster, sentinel and lease: what was deleted by hand is mended within 10 minutes, sooner
where the watcher's listing tells."""
RELEASE = 2.0
"""Seconds that a stop waits for the lease's release; without an answer the session ends by itself."""
_BACKOFF = Backoff(first=1.0, longest=15.0)
_BETWEEN_POKES = 1.0


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the last look at the store came to."""

    state: State
    problem: str | None = None
    failure: StoreError | None = field(default=None, compare=False)


class Membership:
    """One node's membership. Safe to use from several threads."""

    def __init__(
        self,
        environment: Environment,
        store: Store,
        state: StateDirectory,
        node: str,
        identity: Callable[[], MachineIdentity],
        *,
        takeover: bool = False,
        labels: Mapping[str, str] | None = None,
        served: Callable[[], Collection[str]] = tuple,
        changed: Callable[[], None] = lambda: None,
        place: str = "DIR",
    ) -> None:
        """Reads the state directory; asks nothing of the store.

        Args:
            environment: clock, threads, randomness.
            store: is cloned, not used.
            state: the node's own disk.
            node: the node's name.
            identity: who this machine is now.
            takeover: the first time that the lease is taken, take it from whoever holds it.
            labels: of the node, where its sentinel is made for the first time.
            served: the ids of all clusters that containers on this machine were made for under the node's name; may
                raise RuntimeFailure. Asked where neither the store nor the state directory knows a cluster.
            changed: called without locks held, in the thread of `join` or `run`, after anything changed that the
                properties say, or the lease was taken anew. If it raises, `run` ends with that, and calls it first
                when it is run again.
            place: the state directory, as a person would name it to `roj restore`.

        Raises:
            OSError: the state directory cannot be read.
            UnreadableRecord: the cluster's record there is a newer roj's.
        """
        self._environment = environment
        self._store = store
        self._state = state
        self._node = node
        self._takeover = takeover
        self._served = served
        self._changed = changed
        self._place = place
        self._sentinel = Sentinel(environment, state, node, labels or {})
        self._lease = Lease(environment, state, node, identity)
        self._turn = environment.lock()
        """Held by whoever speaks with the store."""
        self._client: Store | None = None
        self._saved_cluster = False
        self._saved_elsewhere = False
        """Whether the state files are there."""
        self._lock = environment.condition()  # of what follows
        self._cluster = self._known_cluster()
        self._elsewhere = self._seen_elsewhere()
        self._standing = _Standing("offline", "the store was not asked yet")
        self._told = self._facts(), 0
        self._poked = False
        self._stopped = False
        self._due = 0.0
        self._not_before = 0.0
        # Of the thread that is in `run`:
        self._failures = 0
        self._renewals = 0

    # --- what others ask ---

    @property
    def cluster_id(self) -> str | None:
        """The cluster's id; None: this node never knew one."""
        with self._lock:
            return self._cluster.id if self._cluster is not None else None

    @property
    def state(self) -> State:
        """`joined` only while the lease is certainly held, whatever the store does."""
        return self._now().state

    @property
    def problem(self) -> str | None:
        """What is wrong and what can be done, for people; None: nothing is."""
        return self._now().problem

    @property
    def failure(self) -> StoreError | None:
        """How the store failed, where `problem` is that it did."""
        return self._now().failure

    @property
    def record(self) -> Node | None:
        """What operators declare of the node, as it was understood last."""
        return self._sentinel.last

    @property
    def went_back(self) -> str | None:
        """What is wrong where the store has an older record of the node than the one that is obeyed; None: nothing."""
        return self._sentinel.went_back

    @property
    def may_act(self) -> bool:
        """Whether anything on the machine may be changed: a cluster is known, no other machine was seen to hold the
        lease since this one did, and the node is not forgotten."""
        return self._facts()[2]

    @property
    def may_report(self) -> bool:
        """Whether anything may be written to the store: in `joined` only."""
        return self.state == "joined"

    def believe(self, listing: Listing) -> str | None:
        """Why a listing of `desired/<node>/` cannot be true or must not be obeyed; None: it is good.

        What it tells of the store (back, wiped, another) is looked into at once by `run`. No requests in here.
        """
        cluster, version = self.cluster_id, self._sentinel.version
        if cluster is None:
            doubt: str | None = "the cluster's id is not known yet"
        else:
            try:
                doubt = self._sentinel.judge(listing, cluster)
            except OSError as error:
                doubt = f"the sentinel could not be written down: {error}"
        state = self._now().state
        with self._lock:
            # The last look's word where there is a doubt: a mark `forgotten` that was just seen is news to `run`.
            news = self._standing.state == "joined" if doubt else state in {"offline", "empty", "foreign"}
            # A store that was wiped and restored while nobody looked has lost the lease, though its session goes on.
            news = news or version not in {None, self._sentinel.version}
            if news:
                self._poked = True
                self._lock.notify_all()
        return doubt

    # --- life ---

    def join(self) -> None:
        """One attempt, at the start: 3 reads, 1 request for a session, 1 write (3 where cluster and sentinel are new).

        Raises:
            HeldElsewhere: another machine holds the lease.
            StoreError: the store failed. The node is offline: `run` tries on.
        """
        try:
            self._attempt()
        except HeldElsewhere:
            self._disconnect()  # the agent ends
            raise
        self._announce()

    def run(self) -> None:
        """Renew, and join again whenever something came between, until `stop`."""
        while True:
            self._announce()
            looking = self._wait()
            if looking is None:
                return
            try:
                self._attempt() if looking else self._renew()
            except HeldElsewhere:
                pass  # it stands by
            except StoreError as error:
                log.debug("membership: %s", error)
            self._plan()

    def stop(self) -> None:
        """End `run`, let the lease go and end its session: 2 writes, given up after RELEASE seconds."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._lock.notify_all()
        self._disconnect()  # a request that waits ends
        released = self._environment.event()

        def release() -> None:
            try:
                with self._turn:
                    self._release()
            finally:
                released.set()

        self._environment.spawn("release-lease", release)
        if not released.wait(RELEASE):
            log.warning("the lease was not let go in time; its session ends by itself within %.0f s", 2 * TTL)

    # --- the thread ---

    def _wait(self) -> bool | None:
        """Wait for what is due: True: look at everything; False: renew; None: end."""
        with self._lock:
            while not self._stopped:
                now = self._environment.monotonic()
                if self._poked and now >= self._not_before:
                    return True
                if now >= self._due:
                    joined = self._standing.state == "joined"
                    return not joined or not self._lease.held or self._renewals >= LOOK
                due = min(self._due, self._not_before) if self._poked else self._due
                self._lock.wait(due - now)
            return None

    def _plan(self) -> None:
        """When to ask the store next."""
        now = self._environment.monotonic()
        with self._lock:
            # What was last heard: for `joined` it is good news only if the renewal was answered.
            renewed = self._lease.until - TTL + RENEW
            if self._standing.state == "joined" and renewed > now:
                self._failures = 0
                self._due = renewed
                return
            self._failures += 1
            self._due = now + _BACKOFF.delay(self._failures, self._environment.random)
            if self._standing.state == "joined" and self._lease.held:
                self._due = min(self._due, self._lease.until)

    def _renew(self) -> None:
        """1 request; as an attempt where the session has ended."""
        with self._turn:
            try:
                lives = self._lease.renew(self._connected())
            except StoreError as error:
                self._failed(error)
                raise
        if lives:
            self._renewals += 1
        else:
            log.warning("the session of node %s's lease has ended", self._node)
            self._attempt()

    def _attempt(self) -> None:
        """Look at all there is, mend what may be mended, and take the lease."""
        with self._lock:
            self._poked = False
            self._not_before = self._environment.monotonic() + _BETWEEN_POKES
        self._renewals = 0
        with self._turn:
            try:
                self._stand(self._look(self._connected()))
            except HeldElsewhere as held:
                self._note_elsewhere(held.holder)
                self._stand(self._standing_by())
                raise
            except StoreError as error:
                self._failed(error)
                raise
            except OSError as error:
                self._stand(_Standing("offline", f"the state directory cannot be written: {error}"))

    def _look(self, store: Store) -> _Standing:
        seen = self._look_at_cluster(store)
        if isinstance(seen, _Standing):
            return seen
        problem = (
            None if seen else f"{keys.CLUSTER} does not parse; going on with the cluster id known before"
        )
        cluster = self.cluster_id
        assert cluster is not None
        try:
            problem = self._sentinel.look(store, cluster, seen) or problem
        except ForeignSentinel as foreign:
            return _Standing("foreign", f"{foreign}. {_AS_TOLD}")
        if self._forgotten() is not None:
            self._lease.release(store)
            return self._standing_by()
        self._lease.take(store, takeover=self._takeover)
        self._takeover = False
        self._note_joined()
        return _Standing("joined", problem)

    def _look_at_cluster(self, store: Store) -> _Standing | Check | None:
        """Where it is not the right store: how that leaves the node. Else what holds as long as it is; None where the
        cluster's record does not parse, and it can only be hoped."""
        entry = store.get(keys.CLUSTER, consistent=True)
        known = self.cluster_id
        if entry is None:
            unfounded = self._unfounded()
            if unfounded is not None:
                return unfounded
            try:
                store.create(
                    keys.CLUSTER,
                    Cluster(id=self._environment.new_id(), created=self._environment.now()).encode(),
                )
            except Conflict:
                log.info("another node has made the cluster meanwhile")
            # Read again, not believed: only what the store says is written down.
            entry = store.get(keys.CLUSTER, consistent=True)
            if entry is None:
                raise StoreUnavailable(f"{keys.CLUSTER} was written and is not there")
        try:
            cluster = Cluster.decode(entry.value)
        except UnreadableRecord as problem:
            if known is not None:
                return None
            return _Standing("foreign", f"{keys.CLUSTER}: {problem}. Nothing is done")
        if known is not None and known != cluster.id:
            return _Standing(
                "foreign",
                f"the store at {self._store.address} is of cluster {cluster.id}, this node of cluster {known}. "
                f"{_AS_TOLD} Give --store the right one; or, if {known} is lost, put its store back and run "
                f"`roj restore --state-dir {self._place}`; or start the agent with a new --state-dir to join "
                f"{cluster.id}",
            )
        if not self._saved_cluster:
            self._know(cluster)
        return Check(keys.CLUSTER, entry.version)

    def _unfounded(self) -> _Standing | None:
        """How the node stands where the store has no cluster; None: it may make one.

        It may not where it was in one before. With its state lost, the labels of its containers know of that: made
        anew under another id, the store would never again be theirs.
        """
        if self.cluster_id is not None:
            return self._emptied("")
        try:
            served = sorted(self._served())
        except RuntimeFailure as error:
            return _Standing(
                "offline",
                f"the store at {self._store.address} has no cluster, and Docker does not say whether this node's "
                f"containers are of one: {error}. No cluster is made before it does",
            )
        if len(served) == 1:
            self._know(Cluster(id=served[0], created=self._environment.now()))
            return self._emptied(
                f". Containers here are of node {self._node} in cluster {served[0]}; if this is to be a new cluster, "
                "give the node another name (--node), or remove them and the state directory"
            )
        if served:
            log.warning("containers here say that node %s was in clusters %s", self._node, ", ".join(served))
        return self._emptied("") if self._has_orders() else None

    def _emptied(self, more: str) -> _Standing:
        return _Standing(
            "empty",
            f"the store at {self._store.address} has no cluster: it was wiped, or is a new one. {_AS_TOLD} "
            f"`roj restore --state-dir {self._place}` puts back what this node knows{more}",
        )

    def _know(self, cluster: Cluster) -> None:
        # Twice, so that there is a previous copy: one damaged file must not make this node forget that it knows one.
        self._state.write(CLUSTER, cluster.encode())
        self._state.write(CLUSTER, cluster.encode())
        self._saved_cluster = True
        with self._lock:
            self._cluster = cluster

    def _failed(self, error: StoreError) -> None:
        """The store did not answer as it should."""
        with self._lock:
            elsewhere = self._elsewhere is not None
            if self._standing.state == "joined" and self._lease.held:
                return
            known = self._cluster is not None
        if elsewhere or self._forgotten() is not None:
            self._stand(self._standing_by())
            return
        then = (
            _AS_TOLD if known else "This node was never in a cluster: nothing to do until it can be reached."
        )
        self._stand(
            _Standing("offline", f"the store at {self._store.address} failed: {error}. {then}", error)
        )

    def _release(self) -> None:
        store = self._store.clone()
        try:
            self._lease.release(store)
        except StoreError as error:
            log.warning("the lease was not let go: %s; its session ends by itself", error)
        finally:
            store.close()

    def _connected(self) -> Store:
        with self._lock:
            if self._stopped:
                raise StoreUnavailable("stopping")
            if self._client is None:
                self._client = self._store.clone()
            return self._client

    def _disconnect(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    # --- how things stand ---

    def _now(self) -> _Standing:
        with self._lock:
            standing, elsewhere = self._standing, self._elsewhere is not None
        if elsewhere or self._forgotten() is not None:
            return self._standing_by()
        if standing.state == "joined" and not self._lease.held:
            return _Standing(
                "offline", f"the lease of node {self._node} could not be renewed in time. {_AS_TOLD}"
            )
        return standing

    def _facts(self) -> tuple[State, str | None, bool]:
        """What `changed` is called for: state, cluster id, whether anything may be done."""
        state, cluster = self._now().state, self.cluster_id
        return state, cluster, cluster is not None and state != "standby"

    def _announce(self) -> None:
        now = self._facts(), self._lease.takes
        if now != self._told:
            self._changed()
            self._told = now

    def _stand(self, standing: _Standing) -> None:
        with self._lock:
            before, self._standing = self._standing, standing
            cluster = self._cluster.id if self._cluster is not None else "unknown"
        if standing == before:
            return
        if standing.problem is not None:
            log.warning("membership is %s: %s", standing.state, standing.problem)
        else:
            log.info("node %s has joined cluster %s", self._node, cluster)

    def _standing_by(self) -> _Standing:
        forgotten = self._forgotten()
        if forgotten is not None:
            who = f" by {forgotten.who}" if forgotten.who else ""
            why = f" ({forgotten.why})" if forgotten.why else ""
            return _Standing(
                "standby",
                f"node {self._node} was forgotten{who} at {rfc3339(forgotten.when)}{why}: its containers are left as "
                "they are, and nothing is done until it rejoins",
            )
        with self._lock:
            holder = self._elsewhere
        who = describe(holder if isinstance(holder, MachineIdentity) else None)
        return _Standing(
            "standby",
            f"the lease of node {self._node} is held by {who}: nothing is changed here until it is free, or the "
            "agent is started with --takeover",
        )

    def _forgotten(self) -> Mark | None:
        last = self._sentinel.last
        return last.forgotten if last is not None else None

    def _note_elsewhere(self, holder: MachineIdentity | None) -> None:
        """Written down: a start without the store must not act while the other machine may."""
        with self._lock:
            same, self._elsewhere = self._elsewhere == (holder or "unknown"), holder or "unknown"
        if same:
            return
        self._saved_elsewhere = True
        try:
            self._state.write(ELSEWHERE, holder.encode() if holder is not None else b"")
        except OSError as error:
            log.warning("the holder of the lease could not be written down: %s", error)

    def _note_joined(self) -> None:
        if self._saved_elsewhere:
            self._state.delete(ELSEWHERE)
            self._saved_elsewhere = False
        with self._lock:
            self._elsewhere = None

    # --- what the state directory knows ---

    def _known_cluster(self) -> Cluster | None:
        file = self._state.read(CLUSTER)
        if file is not None:
            self._saved_cluster = not file.previous
            return Cluster.decode(file.value)
        last = self._sentinel.last  # both copies damaged: the sentinel says it too
        return Cluster(id=last.cluster, created=self._environment.now()) if last is not None else None

    def _seen_elsewhere(self) -> MachineIdentity | Literal["unknown"] | None:
        file = self._state.read(ELSEWHERE)
        self._saved_elsewhere = file is not None
        if file is None or self._takeover:
            return None
        try:
            return MachineIdentity.decode(file.value)
        except UnreadableRecord:
            return "unknown"

    def _has_orders(self) -> bool:
        """Whether this node was in a cluster, though its id is lost."""
        return bool(self._state.names("orders/"))


_AS_TOLD = "What this node was last told is kept and repaired, and nothing is reported."
