"""Rollout: owns the progress of rollouts, cluster-wide. It runs in the one agent that holds the election's lock.

Each step is one transaction: that the lock is still held, the instance's change, and the step's progress together. So a
step is neither skipped nor made twice, whoever dies when; and a leader that was deposed writes nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance, InstanceStatus, Write
from roj.api.rollout import ENDED, Rollout, RolloutStatus, Step, Target
from roj.client import changes, errors
from roj.client.apps import StoredApp, find_app
from roj.client.client import Client
from roj.controllers.rollout_plan import Seen, advance, served, started, undoing
from roj.store.interface import Conflict, Create, Entry, Operation, Swap

log = logging.getLogger(__name__)

GLANCE = 0.5
"""Seconds between two looks while an instance is under way."""
AWAY = 5.0
"""Seconds between two looks for nodes that are away."""
AGAIN = 0.1
"""Seconds until another look after somebody else wrote first."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """The status as stored."""

    status: RolloutStatus | None
    version: int


class Rollouts:
    """Carries out rollouts, one step after another. For one thread."""

    def __init__(self, client: Client, node: str, guard: Callable[[], Operation]) -> None:
        """
        Args:
            client: reads and writes as the rollout's operator would.
            node: whose agent this is.
            guard: the operation that checks the election's lock: in every transaction.
        """
        self._client = client
        self._node = node
        self._guard = guard

    def active(self) -> list[str]:
        """Names of the rollouts that have not ended, or are to be changed: 2 requests."""
        statuses = {
            entry.key.removeprefix(keys.ROLLOUT_STATUS): entry
            for entry in self._client.store.list(keys.ROLLOUT_STATUS).entries
        }
        found = []
        for entry in self._client.store.list(keys.ROLLOUTS).entries:
            name = entry.key.removeprefix(keys.ROLLOUTS)
            rollout, status = _decoded(entry), _status(statuses.get(name))
            if rollout is None:
                log.warning("the record of rollout %s is not understood", name)
            elif not _settled(rollout, status):
                found.append(name)
        return found

    def reconcile(self, name: str) -> float | None:
        """One look at a rollout, and what is due: seconds until the next one; None: nothing is to be done any more.

        Raises:
            StoreError: the store failed.
        """
        store = self._client.store
        rollout = _decoded(store.get(keys.rollout(name), consistent=True))
        entry = store.get(keys.rollout_status(name), consistent=True)
        if rollout is None:
            return None
        progress = _Progress(_status(entry), entry.version if entry is not None else 0)
        if _settled(rollout, progress.status):
            return None
        present: dict[str, bool] = {}
        seen: dict[Target, Seen] = {}

        def look(target: Target) -> Seen:
            seen[target] = self._look(target, present)
            return seen[target]

        plan = advance(rollout, progress.status, look, self._client.environment.now())
        status = plan.status.model_copy(update={"by": self._node})
        try:
            if status != progress.status:
                progress = self._write(name, progress, status, [])
            for number in plan.upgrade:
                progress = self._step(rollout, progress, number, seen[rollout.targets[number]], self._upgrade)
            for number in plan.undo:
                progress = self._step(rollout, progress, number, seen[rollout.targets[number]], self._undo)
        except Conflict:
            return AGAIN
        assert progress.status is not None
        if progress.status.phase in ("done", "failed", "rolled_back"):
            return None
        if progress.status.count("started", "undoing"):
            return GLANCE
        if progress.status.phase in ("paused", "aborted"):
            return None
        return plan.after if plan.after is not None else AWAY

    # --- one step ---

    def _step(
        self,
        rollout: Rollout,
        progress: _Progress,
        number: int,
        seen: Seen,
        change: Callable[[Rollout, Step, Entry, Instance, Seen], tuple[list[Operation], Step]],
    ) -> _Progress:
        """Change one instance, and the rollout's progress with it."""
        target, status = rollout.targets[number], progress.status
        assert status is not None
        entry = self._client.store.get(keys.instance(target.node, target.id), consistent=True)
        instance = _instance(entry)
        if entry is None or instance is None or instance.uid != target.uid:
            return progress  # the next look says so
        try:
            operations, step = change(rollout, status.steps[number], entry, instance, seen)
        except errors.Conflict as refusal:
            now = self._client.environment.now()
            step = status.steps[number].model_copy(
                update={"state": "failed", "when": now, "message": str(refusal)}
            )
            operations = []
        steps = (*status.steps[:number], step, *status.steps[number + 1 :])
        return self._write(rollout.name, progress, status.model_copy(update={"steps": steps}), operations)

    def _upgrade(
        self, rollout: Rollout, step: Step, entry: Entry, instance: Instance, seen: Seen
    ) -> tuple[list[Operation], Step]:
        app = self._app(rollout)
        back = served(seen, instance)
        change = changes.upgrade_of(
            self._client, entry, instance, app, self._change_of(rollout), serving=back
        )
        now = self._client.environment.now()
        return list(change.operations), started(step, change.after, back, now)

    def _undo(
        self, rollout: Rollout, step: Step, entry: Entry, instance: Instance, seen: Seen
    ) -> tuple[list[Operation], Step]:
        revision = next((each for each in instance.revisions if each.id == step.back), None)
        if revision is None:
            raise errors.Conflict(f"{instance.id} no longer keeps the revision that it ran before")
        change = changes.rollback_of(self._client, entry, instance, revision, self._change_of(rollout))
        return list(change.operations), undoing(step, change.after, self._client.environment.now())

    def _app(self, rollout: Rollout) -> StoredApp:
        app = find_app(self._client, rollout.to.name, rollout.to.version)
        if app is None or app.reference != rollout.to:
            raise errors.Conflict(f"app {rollout.to} was removed or replaced")
        return app

    def _change_of(self, rollout: Rollout) -> Write:
        why = f"rollout {rollout.name}" + (f": {rollout.why}" if rollout.why else "")
        environment = self._client.environment
        return Write(environment.new_id(), environment.now(), rollout.who, why)

    def _write(
        self, name: str, progress: _Progress, status: RolloutStatus, operations: list[Operation]
    ) -> _Progress:
        """The status, with what belongs to it, if the lock is still held and nobody else wrote the status.

        Raises:
            Conflict: else.
        """
        key, value = keys.rollout_status(name), status.encode()
        write = Swap(key, value, progress.version) if progress.version else Create(key, value)
        self._client.store.transact([self._guard(), *operations, write])
        entry = self._client.store.get(key, consistent=True)
        if entry is None or entry.value != value:
            raise Conflict(f"{key} was written by somebody else")
        return _Progress(status, entry.version)

    def _look(self, target: Target, present: dict[str, bool]) -> Seen:
        store = self._client.store
        if target.node not in present:
            lease = store.get(keys.lease(target.node))
            present[target.node] = lease is not None and bool(lease.session)
        # The status first: of a record that is newer it says nothing yet.
        reported = store.get(keys.instance_status(target.node, target.id))
        instance = _instance(store.get(keys.instance(target.node, target.id), consistent=True))
        if instance is not None and instance.uid != target.uid:
            instance = None
        try:
            status = InstanceStatus.decode(reported.value) if reported is not None else None
        except UnreadableRecord:
            status = None
        return Seen(instance, status, present[target.node])


def _settled(rollout: Rollout, status: RolloutStatus | None) -> bool:
    """Nothing is to be done: it has ended or is paused, what was under way has come to an end, and no order is new."""
    if status is None or status.uid != rollout.uid or status.observed_generation < rollout.generation:
        return False
    return status.phase in (*ENDED, "paused") and not status.count("started", "undoing")


def _decoded(entry: Entry | None) -> Rollout | None:
    try:
        return Rollout.decode(entry.value) if entry is not None else None
    except UnreadableRecord:
        return None


def _status(entry: Entry | None) -> RolloutStatus | None:
    try:
        return RolloutStatus.decode(entry.value) if entry is not None else None
    except UnreadableRecord:
        return None


def _instance(entry: Entry | None) -> Instance | None:
    try:
        return Instance.decode(entry.value) if entry is not None else None
    except UnreadableRecord:
        return None
