"""Operators: what people write, as DESIGN.md section 3 has it written, and what the store said to each of them.

Every write carries a change id. After an answer that was lost the operator reads again and looks for it; what comes of
that is the write's fate, kept for the oracles.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from roj.api import keys
from roj.api.app import App, AppReference, Container, Port
from roj.api.faults import UnreadableRecord
from roj.api.instance import AppUse, Instance, InstanceStatus, PortClaim, Revision, changed, new_instance
from roj.api.record import digest_of
from roj.store.interface import (
    Check,
    Conflict,
    Create,
    Delete,
    Entry,
    Operation,
    Store,
    StoreUnavailable,
    Swap,
)
from tests.property.simulation.environment import SimulatedEnvironment
from tests.property.simulation.scheduler import Scheduler

Fate = Literal["acknowledged", "refused", "unknown"]
Verb = Literal["deploy", "upgrade", "start", "stop", "undeploy", "adopt"]


@dataclass(frozen=True, slots=True)
class Written:
    """One write of an operator, and what became of it as far as the operator knows."""

    time: float
    verb: str
    node: str
    id: str
    record: Instance
    fate: Fate


def _container(name: str, image: str, *ports: Port, command: tuple[str, ...] | None = None) -> Container:
    return Container(name=name, image=image, command=command, ports=ports)


CATALOGUE: dict[str, tuple[Container, ...]] = {
    "plain": (_container("main", "registry.example/plain:1"),),
    "port": (_container("main", "registry.example/port:1", Port(container=80, host=8080)),),
    "dynamic": (_container("main", "registry.example/plain:1", Port(container=80), Port(container=81)),),
    "pair": (
        _container("front", "registry.example/front:1", Port(container=80, host=8081)),
        _container("back", "registry.example/back:1"),
    ),
    "crashing": (_container("main", "registry.example/plain:1", command=("sh", "-c", "sleep 3; exit 1")),),
    "missing": (_container("main", "registry.example/missing:1"),),
}
"""What the apps are, by name; `missing` has an image that is in no registry."""
STEADY = ("plain", "port", "dynamic", "pair")
"""Apps that run for ever once they are launched."""


class Operator:
    """One person with the `roj` command."""

    def __init__(
        self, scheduler: Scheduler, environment: SimulatedEnvironment, store: Store, name: str
    ) -> None:
        self._scheduler = scheduler
        self._environment = environment
        self._store = store
        self.name = name
        self.written: list[Written] = []

    def do(self, verb: Verb, node: str, id: str, app: str) -> None:
        """Run one command; whatever comes of it."""
        try:
            getattr(self, f"_{verb}")(node, id, app)
        except (StoreUnavailable, Conflict, UnreadableRecord) as error:
            self._scheduler.tell(f"{verb} {node}/{id} {app}", f"{type(error).__name__}: {error}")

    # --- the verbs ---

    def _deploy(self, node: str, id: str, app: str) -> None:
        sentinel = self._store.get(keys.node(node), consistent=True)
        if sentinel is None:
            return
        reference, guards = self._app(app)
        record = new_instance(
            id=id,
            node=node,
            uid=self._environment.new_id(),
            change=self._environment.new_id(),
            app=reference,
            when=self._environment.now(),
            who=self.name,
        )
        claims = self._claims(record, app)
        self._write(
            "deploy",
            record,
            [
                Check(sentinel.key, sentinel.version),
                *guards(record.change),
                Create(keys.instance(node, id), record.encode()),
                *claims,
            ],
        )

    def _upgrade(self, node: str, id: str, app: str) -> None:
        entry = self._instance(node, id)
        if entry is None:
            return
        before = Instance.decode(entry.value)
        if before.goal == "undeploy" or before.app.name == app:
            return
        reference, guards = self._app(app)
        change, now = self._environment.new_id(), self._environment.now()
        record = changed(before, change=change, goal="start", when=now, who=self.name)
        revision = Revision(id=change, app=reference, generation=record.generation, who=self.name, when=now)
        record = record.model_copy(update={"app": reference, "revisions": (revision, *before.revisions)[:3]})
        mine = [claim.key for claim in self._claims(record, app)]
        there = {entry.key: entry for entry in self._store.list(keys.ports(node), consistent=True).entries}
        claims: list[Operation] = []
        for claim in self._claims(record, app):
            held = there.get(claim.key)
            if held is None:
                claims.append(claim)
            elif PortClaim.decode(held.value).uid == record.uid:
                claims.append(Check(claim.key, held.version))
            else:
                raise Conflict(f"{claim.key} is taken")
        dropped: list[Operation] = [
            Delete(key, held.version)
            for key, held in there.items()
            if key not in mine and PortClaim.decode(held.value).uid == record.uid
        ]
        self._write(
            "upgrade",
            record,
            [*guards(change), Swap(entry.key, record.encode(), entry.version), *claims, *dropped],
        )

    def _start(self, node: str, id: str, app: str) -> None:
        self._goal("start", node, id)

    def _stop(self, node: str, id: str, app: str) -> None:
        self._goal("stop", node, id)

    def _undeploy(self, node: str, id: str, app: str) -> None:
        if not self._goal("undeploy", node, id):
            self._from_status("undeploy", node, id)

    def _adopt(self, node: str, id: str, app: str) -> None:
        self._from_status("adopt", node, id)

    def _goal(self, goal: Literal["start", "stop", "undeploy"], node: str, id: str) -> bool:
        entry = self._instance(node, id)
        if entry is None:
            return False
        before = Instance.decode(entry.value)
        if before.goal in {goal, "undeploy"}:
            return True
        record = changed(
            before, change=self._environment.new_id(), goal=goal, when=self._environment.now(), who=self.name
        )
        self._write(goal, record, [Swap(entry.key, record.encode(), entry.version)])
        return True

    def _from_status(self, verb: Literal["adopt", "undeploy"], node: str, id: str) -> None:
        """Of an instance that the store has no record of, or an older one: from what its node believes."""
        reported = self._store.get(keys.instance_status(node, id), consistent=True)
        status = InstanceStatus.decode(reported.value) if reported is not None else None
        if status is None or status.believed is None:
            return
        goal = status.believed.goal if verb == "adopt" else "undeploy"
        record = changed(
            status.believed,
            change=self._environment.new_id(),
            goal=goal,
            when=self._environment.now(),
            who=self.name,
        )
        entry = self._instance(node, id)
        there: Operation = (
            Create(keys.instance(node, id), record.encode())
            if entry is None
            else Swap(entry.key, record.encode(), entry.version)
        )
        self._write(verb, record, [there])

    # --- inside ---

    def _app(self, name: str) -> tuple[AppReference, Callable[[str], list[Operation]]]:
        """The app, made where it is missing, and the operations that refer to it."""
        key = keys.app(name, "v1")
        entry = self._store.get(key, consistent=True)
        if entry is None:
            # Always the same bytes, so that what a node knows of it stays true whoever makes it anew.
            app = App(name=name, version="v1", containers=CATALOGUE[name], created="2026-11-22T08:00:00Z")  # type: ignore[arg-type]  # pydantic reads it
            with suppress(Conflict):
                self._store.create(key, app.encode())
            entry = self._store.get(key, consistent=True)
            if entry is None:
                raise StoreUnavailable("the app is not there")
        guard = self._store.get(keys.app_use(name, "v1"), consistent=True)
        found = entry

        def guards(change: str) -> list[Operation]:
            use = AppUse(change=change).encode()
            swap: Operation = (
                Create(keys.app_use(name, "v1"), use)
                if guard is None
                else Swap(guard.key, use, guard.version)
            )
            return [Check(found.key, found.version), swap]

        return AppReference(name=name, version="v1", digest=digest_of(entry.value)), guards

    def _claims(self, record: Instance, app: str) -> list[Create]:
        claim = PortClaim(uid=record.uid, instance=record.id).encode()
        return [
            Create(keys.port(record.node, port.protocol, port.host), claim)
            for container in CATALOGUE[app]
            for port in container.ports
            if port.host is not None
        ]

    def _instance(self, node: str, id: str) -> Entry | None:
        return self._store.get(keys.instance(node, id), consistent=True)

    def _write(self, verb: str, record: Instance, operations: list[Operation]) -> None:
        words = f"{verb} {record.node}/{record.id} {record.app} change {record.change[:8]}"
        written = Written(self._scheduler.now, verb, record.node, record.id, record, "unknown")
        place = len(self.written)
        self.written.append(written)
        try:
            self._store.transact(operations)
            fate: Fate = "acknowledged"
        except Conflict:
            fate = "refused"
        except StoreUnavailable:
            fate = self._look_for(record)
        self.written[place] = replace(written, fate=fate)
        self._scheduler.tell(words, fate)

    def _look_for(self, record: Instance) -> Fate:
        """After an answer that was lost: whether the write is there."""
        for _ in range(3):
            self._environment.sleep(2.0)
            try:
                entry = self._store.get(keys.instance(record.node, record.id), consistent=True)
            except StoreUnavailable:
                continue
            if entry is not None:
                try:
                    found = Instance.decode(entry.value)
                except UnreadableRecord:
                    return "unknown"
                if found.uid == record.uid and record.change in found.lineage:
                    return "acknowledged"
            return "unknown"
        return "unknown"
