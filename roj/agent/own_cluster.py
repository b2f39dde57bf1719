"""The cluster that a node is of, and whether a store is that cluster's.

    the store has         the node knows none                       the node knows one
    no cluster            makes one, unless it was in one before    empty: nothing is made
    one                   it is of that                             of that, or foreign

The cluster id is the fuse against a wiped or swapped store (DESIGN.md section 3): a node that was in a cluster once never
gives an empty store a new id, also where its state directory was lost and only its containers' labels know of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from roj.agent.standing import AS_TOLD, Standing
from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import Cluster, Node
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.runtime.interface import RuntimeFailure
from roj.store.interface import Check, Conflict, Store, StoreUnavailable

log = logging.getLogger(__name__)

CLUSTER = "cluster"
"""The state file with the cluster's record."""


class OwnCluster:
    """One node's cluster. `look` is for one thread at a time; `id` for any."""

    def __init__(
        self,
        environment: Environment,
        state: StateDirectory,
        node: str,
        sentinel: Node | None,
        *,
        served: Callable[[], Collection[str]],
        address: str,
        place: str,
    ) -> None:
        """Reads the state directory.

        Args:
            sentinel: the last one that was understood; it says the cluster too, where both copies of the file are
                damaged.
            served: as of `Membership`.
            address: the store's, for people.
            place: the state directory, as a person would name it to `roj restore`.

        Raises:
            OSError: the state directory cannot be read.
            UnreadableRecord: the record there is a newer roj's.
        """
        self._environment = environment
        self._state = state
        self._node = node
        self._served = served
        self._address = address
        self._place = place
        self._lock = environment.lock()
        self._saved = False
        """Whether the state file is there."""
        self._cluster: Cluster | None = None
        file = state.read(CLUSTER)
        if file is not None:
            self._saved = not file.previous
            self._cluster = Cluster.decode(file.value)
        elif sentinel is not None:
            self._cluster = Cluster(id=sentinel.cluster, created=environment.now())

    @property
    def id(self) -> str | None:
        """The cluster's id; None: this node never knew one."""
        with self._lock:
            return self._cluster.id if self._cluster is not None else None

    def look(self, store: Store) -> Standing | Check | None:
        """1 read (2 and 1 write where the cluster is made).

        Returns: where it is not the right store, how that leaves the node. Else what holds as long as it is; None where
            the cluster's record does not parse, and it can only be hoped.

        Raises:
            StoreError: the store failed.
            OSError: the cluster could not be written down.
        """
        entry = store.get(keys.CLUSTER, consistent=True)
        known = self.id
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
            return Standing("foreign", f"{keys.CLUSTER}: {problem}. Nothing is done")
        if known is not None and known != cluster.id:
            return Standing(
                "foreign",
                f"the store at {self._address} is of cluster {cluster.id}, this node of cluster {known}. "
                f"{AS_TOLD} Give --store the right one; or, if {known} is lost, put its store back and run "
                f"`roj restore --state-dir {self._place}`; or start the agent with a new --state-dir to join "
                f"{cluster.id}",
            )
        if not self._saved:
            self._know(cluster)
        return Check(keys.CLUSTER, entry.version)

    def _unfounded(self) -> Standing | None:
        """How the node stands where the store has no cluster; None: it may make one.

        It may not where it was in one before. With its state lost, the labels of its containers know of that: made
        anew under another id, the store would never again be theirs.
        """
        if self.id is not None:
            return self._emptied("")
        try:
            served = sorted(self._served())
        except RuntimeFailure as error:
            return Standing(
                "offline",
                f"the store at {self._address} has no cluster, and Docker does not say whether this node's "
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

    def _emptied(self, more: str) -> Standing:
        return Standing(
            "empty",
            f"the store at {self._address} has no cluster: it was wiped, or is a new one. {AS_TOLD} "
            f"`roj restore --state-dir {self._place}` puts back what this node knows{more}",
        )

    def _know(self, cluster: Cluster) -> None:
        # Twice, so that there is a previous copy: one damaged file must not make this node forget that it knows one.
        self._state.write(CLUSTER, cluster.encode())
        self._state.write(CLUSTER, cluster.encode())
        self._saved = True
        with self._lock:
            self._cluster = cluster

    def _has_orders(self) -> bool:
        """Whether this node was in a cluster, though its id is lost."""
        return bool(self._state.names("orders/"))
