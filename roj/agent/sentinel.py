"""The sentinel, `desired/<node>/node`: a listing without it, or with another cluster's, cannot be true.

The last one that was understood is kept in the state directory, as it may hold orders to the node itself (`forgotten`).
Those are lifted by a consistent read only: a listing may be older than what was read before it. One that operators have
changed since, by its lineage, is of a snapshot that was restored: it is not obeyed, so that no drain or freeze that was
lifted comes back, nor is one lifted that holds. Any new write of an operator ends that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.node import Node
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.store.interface import Check, Conflict, Create, Entry, Listing, Store, StoreUnavailable

log = logging.getLogger(__name__)

NODE = "node"
"""The state file with the last sentinel that was understood."""


class ForeignSentinel(Exception):
    """The sentinel is of another cluster than the store's, or is missing where it cannot be made; says so."""


class Sentinel:
    """One node's sentinel. Safe to use from several threads."""

    def __init__(
        self, environment: Environment, state: StateDirectory, node: str, labels: Mapping[str, str]
    ) -> None:
        """Reads the state directory, not the store.

        Args:
            labels: of the node, where its sentinel is made for the first time.

        Raises:
            OSError: the state directory cannot be read.
        """
        self._state = state
        self._node = node
        self._key = keys.node(node)
        self._labels = dict(labels)
        self._lock = environment.lock()
        self._last: Node | None = None
        self._written = b""
        self._went_back = ""
        self._version: int | None = None
        file = state.read(NODE)
        if file is not None:
            try:
                self._last = Node.decode(file.value)
                self._written = file.value if not file.previous else b""
            except UnreadableRecord as problem:
                log.warning("the last sentinel in the state directory is not understood: %s", problem)

    @property
    def last(self) -> Node | None:
        """The last one that was understood."""
        with self._lock:
            return self._last

    @property
    def went_back(self) -> str | None:
        """What is wrong where the store has an older record than the last one that was obeyed; None: it has not."""
        with self._lock:
            return self._went_back or None

    @property
    def version(self) -> int | None:
        """Its version in the last listing that had it; another one: it was written, maybe put back. None: in none yet."""
        return self._version

    def look(self, store: Store, cluster: str, right: Check | None) -> str | None:
        """Read it (1 request), and make it where it is missing (1 write): as it was last, or with the labels.

        Args:
            cluster: the cluster's id.
            right: holds while the store is known to be that cluster's, so that a missing sentinel may be made; None:
                that is not known.

        Returns: what is wrong with it, for people; None: nothing.

        Raises:
            ForeignSentinel: it is of another cluster, or is missing and may not be made.
            StoreError: the store failed.
            OSError: it could not be written down.
        """
        entry = store.get(self._key, consistent=True)
        if entry is None:
            if right is None:
                raise ForeignSentinel(f"{self._key} is missing, and whose the store is cannot be told")
            self._make(store, cluster, right)
            entry = store.get(self._key, consistent=True)
            if entry is None:
                raise StoreUnavailable(
                    f"{self._key} was made and is not there: the store has changed meanwhile"
                )
        seen = _decoded(entry, self._node)
        other = seen.cluster if isinstance(seen, Node) else _cluster_in(entry.value)
        if other not in {None, cluster}:
            raise ForeignSentinel(
                f"the store is of cluster {cluster}, but {self._key} says {other}: "
                "if that is a mistake, delete that key, and the agent makes it anew"
            )
        if isinstance(seen, Node):
            self._keep(entry.value, seen)
            return self.went_back
        if self._known(cluster):
            return f"{seen}; what it said before holds"
        return f"{seen}; no earlier one is known here, so the node is frozen: nothing new is obeyed until it is mended"

    def judge(self, listing: Listing, cluster: str) -> str | None:
        """Why the listing cannot be true, or must not be obeyed; None: it is good. No requests.

        Raises:
            OSError: a sentinel with news could not be written down.
        """
        entry = next((entry for entry in listing.entries if entry.key == self._key), None)
        if entry is None:
            return f"{self._key} is not in it"
        self._version = entry.version
        with self._lock:
            same = entry.value == self._written
            if same:
                self._went_back = ""
        if not same:
            seen = _decoded(entry, self._node)
            other = seen.cluster if isinstance(seen, Node) else _cluster_in(entry.value)
            if other not in {None, cluster}:
                return f"{self._key} is of cluster {other}, not {cluster}"
            if isinstance(seen, Node):
                self._keep(entry.value, seen, lift=False)
            elif not self._known(cluster):
                return f"{seen}; no earlier one is known here, so the node is frozen"
        last = self.last
        if last is None or last.cluster != cluster:
            return f"{self._key} is not known to be of cluster {cluster}"
        if last.forgotten is not None:
            return f"node {self._node} was forgotten"
        return None

    def _known(self, cluster: str) -> bool:
        last = self.last
        return last is not None and last.cluster == cluster

    def _make(self, store: Store, cluster: str, right: Check) -> None:
        last = self.last
        if last is None or last.cluster != cluster:
            last = Node(name=self._node, cluster=cluster, labels=self._labels)
        try:
            store.transact([right, Create(self._key, last.encode())])
        except Conflict:  # somebody was quicker, or the store was swapped; what is there now is what counts
            return
        log.info("made %s", self._key)

    def _keep(self, value: bytes, seen: Node, *, lift: bool = True) -> None:
        with self._lock:
            if self._last is not None and self._last.cluster == seen.cluster and seen.older_than(self._last):
                self._note_older(seen, self._last)
                return
            self._went_back = ""
            if value == self._written:
                return
            if not lift and self._last is not None and self._last.forgotten is not None:
                return
            self._last = seen  # at once: an order to touch nothing does not wait for the disk
            self._written = b""  # what is on the disk does not hold any more
            self._state.write(NODE, value)
            self._written = value

    def _note_older(self, seen: Node, last: Node) -> None:
        """`_lock` is held."""
        words = (
            f"the store has an older record of node {self._node} than the one that is obeyed "
            f"({_change(seen)}, and not {_change(last)}): it went back. What was said last holds: {_marks(last)}. "
            "Any change of the node (roj node) ends that"
        )
        if words != self._went_back:
            log.warning("%s", words)
        self._went_back = words


def _change(record: Node) -> str:
    return f"change {record.lineage[0]}" if record.lineage else "no change yet"


def _marks(record: Node) -> str:
    marks = {
        "cordoned": record.cordoned, "frozen": record.frozen, "drained": record.drained, "forgotten": record.forgotten
    }  # fmt: skip
    return "; ".join(mark.in_words(word) for word, mark in marks.items() if mark is not None) or "no marks"


def _decoded(entry: Entry, node: str) -> Node | str:
    """The record, or why it cannot be one."""
    try:
        seen = Node.decode(entry.value)
    except UnreadableRecord as problem:
        return f"{entry.key} does not parse: {problem}"
    return seen if seen.name == node else f"{entry.key} says that it is of node {seen.name}"


def _cluster_in(value: bytes) -> str | None:
    """The cluster id in a record that is not understood, as far as it can be made out."""
    try:
        fields = json.loads(value)
    except ValueError:
        return None
    found = fields.get("cluster") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None
