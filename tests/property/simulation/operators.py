"""Operators: people with the `roj` command, by way of roj.client, and what it said to each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from roj.api import keys
from roj.api.app import AppSpec, Container, Port
from roj.api.instance import Goal
from roj.client import errors
from roj.client.adoption import adopt
from roj.client.apps import create_app, remove_apps
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.errors import ClientError
from roj.client.goals import Change, set_goals
from roj.client.upgrade import Upgrade, roll_back, upgrade
from roj.store.interface import Conflict, StoreError
from tests.property.simulation.environment import SimulatedEnvironment
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.store_faults import Link

Verb = Literal["deploy", "upgrade", "rollback", "start", "stop", "undeploy", "adopt", "remove-app"]


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


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that an operator was told is refused, so that nothing was written."""

    words: str
    done: bool
    """It was written all the same."""


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
    "hasty": (_container("main", "registry.example/plain:1", command=("sh", "-c", "sleep 0.7; exit 1")),),
    "broken": (_container("main", "registry.example/plain:1", command=("sh", "-c", "exit 1")),),
    "missing": (_container("main", "registry.example/missing:1"),),
}
"""What the apps are, by name; `hasty` and `broken` are never launched, and `missing` has an image that is in no registry."""
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
        self.refused: list[Refused] = []

    @property
    def at_work(self) -> bool:
        """Whether this person is not done yet."""
        return any(not worker.done for worker in self._environment.group.workers)

    def begin(self, work: Callable[[], None]) -> None:
        """Do something, beside whatever goes on."""
        self._scheduler.spawn(self._environment.group, "shell", work)

    def until(self, moment: float) -> None:
        """Wait for a moment, unless it is past."""
        wait = moment - self._scheduler.now
        if wait > 0.0:
            self._environment.sleep(wait)

    def do(self, verb: Verb, node: str, id: str, app: str) -> None:
        """Run one command; whatever comes of it."""
        changes = self.link.consul.changes
        began = len(changes)
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
                    create_app(self._client, app, "v1", AppSpec(containers=CATALOGUE[app]))
                    [made] = upgrade(self._client, app, "v1", [f"{node}/{id}"], other_app=True)
                    self._note(verb, _change(made), new=made.written)
                case "rollback":
                    [made] = roll_back(self._client, [f"{node}/{id}"])
                    self._note(verb, _change(made), new=made.written)
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
            if isinstance(error, Conflict | errors.Conflict):
                mine = [each.key for each in changes[began:] if each.who.startswith(f"{self.name}/")]
                self.refused.append(Refused(words, keys.instance(node, id) in mine))
            self._scheduler.tell(words, f"{type(error).__name__}: {error}")

    def _note(self, verb: Verb, made: Change, *, new: bool = True) -> None:
        if new:
            self.written.append(
                Written(self._scheduler.now, verb, made.node, made.id, made.uid, made.goal, made.generation)
            )


def _change(made: Upgrade) -> Change:
    return Change(made.node, made.id, made.uid, made.goal, made.generation)
