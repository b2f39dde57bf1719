"""Operators: people with the `roj` command, by way of roj.client, and what it said to each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from roj.api import keys
from roj.api.app import AppSpec, Container, Port
from roj.api.faults import UnreadableRecord
from roj.api.instance import Goal, Instance, PortClaim, Write, upgraded
from roj.client.adoption import adopt
from roj.client.apps import create_app, get_app, guard_write, remove_apps
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.errors import ClientError
from roj.client.goals import Change, set_goals
from roj.store.interface import Check, Conflict, Create, Delete, Operation, StoreError, Swap
from tests.property.simulation.environment import SimulatedEnvironment
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import Link

Verb = Literal["deploy", "upgrade", "start", "stop", "undeploy", "adopt", "remove-app"]


@dataclass(frozen=True, slots=True)
class Written:
    """A write that an operator was told is in the store."""

    time: float
    verb: Verb
    node: str
    id: str
    uid: str
    goal: Goal
    generation: int


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
    "broken": (_container("main", "registry.example/plain:1", command=("sh", "-c", "exit 1")),),
    "missing": (_container("main", "registry.example/missing:1"),),
}
"""What the apps are, by name; `broken` is never launched, and `missing` has an image that is in no registry."""
STEADY = ("plain", "port", "dynamic", "pair")
"""Apps that run for ever once they are launched."""


class Operator:
    """One person."""

    def __init__(
        self, scheduler: Scheduler, environment: SimulatedEnvironment, link: Link, name: str
    ) -> None:
        self._scheduler = scheduler
        self._environment = environment
        self._client = Client(link.client(), environment, name)
        self.link = link
        """The way from this person's machine to the store."""
        self.name = name
        self.written: list[Written] = []

    def at_work(self, work: Callable[[], None]) -> None:
        """Do something, beside whatever goes on."""
        self._scheduler.spawn(self._environment.group, "shell", work)

    def until(self, moment: float) -> None:
        """Wait for a moment, unless it is past."""
        wait = moment - self._scheduler.now
        if wait > 0.0:
            self._environment.sleep(wait)

    def do(self, verb: Verb, node: str, id: str, app: str) -> None:
        """Run one command; whatever comes of it."""
        words = f"{verb} {app}" if verb == "remove-app" else f"{verb} {node}/{id} {app}"
        try:
            match verb:
                case "deploy":
                    create_app(self._client, app, "v1", AppSpec(containers=CATALOGUE[app]))
                    [launch] = deploy(self._client, app, "v1", [node], id=id)
                    self._note(
                        verb, Change(node, id, launch.uid, "start", launch.generation), new=not launch.existed
                    )
                case "upgrade":
                    self._upgrade(node, id, app)
                case "start" | "stop" | "undeploy":
                    [change] = set_goals(self._client, [f"{node}/{id}"], verb)
                    self._note(verb, change, new=change.written)
                case "adopt":
                    change = adopt(self._client, f"{node}/{id}")
                    self._note(verb, change, new=change.written)
                case "remove-app":
                    remove_apps(self._client, [(app, "v1")])
            self._scheduler.tell(words, "done")
        except (ClientError, StoreError) as error:
            self._scheduler.tell(words, f"{type(error).__name__}: {error}")

    def _note(self, verb: Verb, made: Change, *, new: bool = True) -> None:
        if new:
            self.written.append(
                Written(self._scheduler.now, verb, made.node, made.id, made.uid, made.goal, made.generation)
            )

    def _upgrade(self, node: str, id: str, app: str) -> None:
        """Set another app, as DESIGN.md section 3 has it written."""
        store = self._client.store
        create_app(self._client, app, "v1", AppSpec(containers=CATALOGUE[app]))
        entry = store.get(keys.instance(node, id), consistent=True)
        try:
            before = Instance.decode(entry.value) if entry is not None else None
        except UnreadableRecord:
            before = None
        if entry is None or before is None or before.goal == "undeploy" or before.app.name == app:
            return
        stored = get_app(self._client, app, "v1")
        change, now = self._client.environment.new_id(), self._client.environment.now()
        record = upgraded(before, Write(change, now, self.name), stored.reference, {})
        record = record.model_copy(update={"goal": "start"})
        claim = PortClaim(uid=record.uid, instance=id).encode()
        wanted = [keys.port(node, protocol, port) for protocol, port in stored.app.spec.host_ports()]
        there = {each.key: each for each in store.list(keys.ports(node), consistent=True).entries}
        own = [key for key, each in there.items() if PortClaim.decode(each.value).uid == record.uid]
        if any(key in there and key not in own for key in wanted):
            raise Conflict("a port is taken")
        operations: list[Operation] = [
            Check(keys.app(app, "v1"), stored.version),
            guard_write(self._client, app, "v1", change),
            Swap(entry.key, record.encode(), entry.version),
            *(Create(key, claim) for key in wanted if key not in own),
            *(Delete(key, there[key].version) for key in own if key not in wanted),
        ]

        def applied() -> bool:
            found = store.get(keys.instance(node, id), consistent=True)
            return found is not None and change.encode() in found.value

        self._client.write(operations, applied, otherwise="")
        self._note("upgrade", Change(node, id, record.uid, "start", record.generation))
