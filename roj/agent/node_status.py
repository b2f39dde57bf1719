"""What the agent reports of its node: `observed/<node>/node`, written only when something in it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from roj import __version__
from roj.api import keys
from roj.api.condition import Condition, with_condition
from roj.api.faults import UnreadableRecord
from roj.api.node import NodeStatus
from roj.environment import Environment
from roj.framework.reporter import Reporter


class NodeStatusReport:
    """Keeps the node's status up to date. Safe to use from several threads."""

    def __init__(
        self, environment: Environment, node: str, reporter: Reporter, *, address: Callable[[], str]
    ) -> None:
        """
        Args:
            address: the machine's address as the store knows it; may raise StoreError.
        """
        self._environment = environment
        self._key = keys.node_status(node)
        self._node = node
        self._reporter = reporter
        self._address = address
        self._lock = environment.lock()
        self._status: NodeStatus | None = None
        self._docker_version = ""

    def joined(self) -> None:
        """The node took its lease; says where it is. Raises StoreError."""
        address = self._address()
        before = self._stored()
        with self._lock:
            versions = {
                "agent": __version__,
                **({"docker": self._docker_version} if self._docker_version else {}),
            }
            if before is not None and "docker" not in versions and "docker" in before.versions:
                versions["docker"] = before.versions["docker"]
            self._status = NodeStatus(
                name=self._node,
                address=address,
                versions=versions,
                since=before.since if before is not None else self._environment.now(),
                clock=before.clock if before is not None else "",
                conditions=before.conditions if before is not None else (),
            )
            status = self._status
        self._reporter.status(self._key, status)

    def docker(self, problem: str | None, version: str = "") -> None:
        """Docker answers, or why it does not."""
        with self._lock:
            self._docker_version = version or self._docker_version
        self._put("DockerReachable", problem, "Answers", "DoesNotAnswer")

    def state_directory(self, problem: str | None) -> None:
        """The state directory takes orders, which is said only where it did not before; or why it does not."""
        with self._lock:
            conditions = self._status.conditions if self._status is not None else ()
        if problem is not None or any(each.type == "StateDirectoryWritable" for each in conditions):
            self._put("StateDirectoryWritable", problem, "Writable", "CannotBeWritten")

    def clock(self, words: str) -> None:
        """How far the machine's clock may be wrong."""
        with self._lock:
            if self._status is None or self._status.clock == words:
                return
            self._status = status = self._status.model_copy(update={"clock": words})
        self._reporter.status(self._key, status)

    def record(self, problem: str | None) -> None:
        """The store has an older record of the node than the one that is obeyed, in words; None: it has not (again)."""
        with self._lock:
            conditions = self._status.conditions if self._status is not None else ()
        if problem is not None or any(each.type == "StoreWentBack" for each in conditions):
            self._put("StoreWentBack", problem, "Same", "OlderRecord", wrong="True")

    def _put(
        self, kind: str, problem: str | None, good: str, bad: str, wrong: Literal["True", "False"] = "False"
    ) -> None:
        condition = Condition(
            type=kind,
            status=wrong if problem is not None else "True" if wrong == "False" else "False",
            reason=good if problem is None else bad,
            message=problem or "",
            since=self._environment.now(),
        )
        with self._lock:
            if self._status is None:
                return
            conditions = with_condition(self._status.conditions, condition)
            versions = dict(self._status.versions)
            if self._docker_version:
                versions["docker"] = self._docker_version
            status = self._status.model_copy(update={"conditions": conditions, "versions": versions})
            if status == self._status:
                return
            self._status = status
        self._reporter.status(self._key, status)

    def _stored(self) -> NodeStatus | None:
        with self._lock:
            if self._status is not None:
                return self._status
        stored = self._reporter.stored(self._key)
        try:
            return NodeStatus.decode(stored) if stored is not None else None
        except UnreadableRecord:
            return None
