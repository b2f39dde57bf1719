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

from roj.agent import standing
from roj.agent.elsewhere import Elsewhere
from roj.agent.lease import RENEW, TTL, HeldElsewhere, Lease
from roj.agent.own_cluster import OwnCluster
from roj.agent.sentinel import ForeignSentinel, Sentinel
from roj.agent.standing import AS_TOLD, Standing, State
from roj.api import keys
from roj.api.node import MachineIdentity, Mark, Node
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.framework.backoff import Backoff
from roj.store.interface import Listing, Store, StoreError, StoreUnavailable

log = logging.getLogger(__name__)

LOOK = 20
"""Renewals between two looks at cluster, sentinel and lease: what was deleted by hand is mended within 10 minutes, sooner
where the watcher's listing tells."""
RELEASE = 2.0
"""Seconds that a stop waits for the lease's release; without an answer the session ends by itself."""
_BACKOFF = Backoff(first=1.0, longest=15.0)
_BETWEEN_POKES = 1.0


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
        self._node = node
        self._takeover = takeover
        self._changed = changed
        self._sentinel = Sentinel(environment, state, node, labels or {})
        self._cluster = OwnCluster(
            environment, state, node, self._sentinel.last, served=served, address=store.address, place=place
        )
        self._elsewhere = Elsewhere(environment, state, takeover=takeover)
        self._lease = Lease(environment, state, node, identity)
        self._turn = environment.lock()
        """Held by whoever speaks with the store."""
        self._client: Store | None = None
        self._lock = environment.condition()  # of what follows
        self._standing = Standing("offline", "the store was not asked yet")
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
        return self._cluster.id

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
            self._attempt(starting=True)
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

    def _attempt(self, *, starting: bool = False) -> None:
        """Look at all there is, mend what may be mended, and take the lease."""
        with self._lock:
            self._poked = False
            self._not_before = self._environment.monotonic() + _BETWEEN_POKES
        self._renewals = 0
        with self._turn:
            try:
                self._stand(self._look(self._connected()))
            except HeldElsewhere as held:
                self._elsewhere.note(held.holder)
                now = self._standing_by() or standing.held_elsewhere(self._node, held.holder)
                self._stand(now, quietly=starting)  # at the start it is told by whoever ends it
                raise
            except StoreError as error:
                self._failed(error)
                raise
            except OSError as error:
                self._stand(Standing("offline", f"the state directory cannot be written: {error}"))

    def _look(self, store: Store) -> Standing:
        seen = self._cluster.look(store)
        if isinstance(seen, Standing):
            return seen
        problem = (
            None if seen else f"{keys.CLUSTER} does not parse; going on with the cluster id known before"
        )
        cluster = self.cluster_id
        assert cluster is not None
        try:
            problem = self._sentinel.look(store, cluster, seen) or problem
        except ForeignSentinel as foreign:
            return Standing("foreign", f"{foreign}. {AS_TOLD}")
        mark = self._forgotten()
        if mark is not None:
            self._lease.release(store)
            return standing.forgotten(self._node, mark)
        self._lease.take(store, takeover=self._takeover)
        self._takeover = False
        self._elsewhere.over()
        return Standing("joined", problem)

    def _failed(self, error: StoreError) -> None:
        """The store did not answer as it should."""
        with self._lock:
            if self._standing.state == "joined" and self._lease.held:
                return
        known = self.cluster_id is not None
        self._stand(self._standing_by() or standing.failed(self._store.address, error, known=known))

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

    def _now(self) -> Standing:
        standing_by = self._standing_by()
        if standing_by is not None:
            return standing_by
        with self._lock:
            last = self._standing
        if last.state == "joined" and not self._lease.held:
            return standing.not_renewed(self._node)
        return last

    def _facts(self) -> tuple[State, str | None, bool]:
        """What `changed` is called for: state, cluster id, whether anything may be done."""
        state, cluster = self._now().state, self.cluster_id
        return state, cluster, cluster is not None and state != "standby"

    def _announce(self) -> None:
        now = self._facts(), self._lease.takes
        if now != self._told:
            self._changed()
            self._told = now

    def _stand(self, now: Standing, *, quietly: bool = False) -> None:
        with self._lock:
            before, self._standing = self._standing, now
        if now == before or quietly:
            return
        if now.problem is not None:
            log.warning("membership is %s: %s", now.state, now.problem)
        else:
            log.info("node %s has joined cluster %s", self._node, self.cluster_id)

    def _standing_by(self) -> Standing | None:
        """How the node stands where its agent must take its hands off; None: it need not."""
        mark = self._forgotten()
        if mark is not None:
            return standing.forgotten(self._node, mark)
        if self._elsewhere.seen:
            return standing.held_elsewhere(self._node, self._elsewhere.holder)
        return None

    def _forgotten(self) -> Mark | None:
        last = self._sentinel.last
        return last.forgotten if last is not None else None
