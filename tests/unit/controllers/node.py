"""One node's controllers in the test's own thread: a fake store, a simulated Docker, a clock that the test moves."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from roj.api import keys
from roj.api.app import App, AppReference, AppSpec
from roj.api.instance import (
    Goal,
    Instance,
    InstanceStatus,
    Revision,
    Write,
    changed,
    new_instance,
    rolled_back,
    upgraded,
)
from roj.api.node import Node as NodeRecord
from roj.api.record import digest_of
from roj.controllers import labels
from roj.controllers.anti_entropy import AntiEntropy
from roj.controllers.crashes import Crashes
from roj.controllers.deploy import Deploy
from roj.controllers.garbage_collection import GarbageCollection, Limits
from roj.controllers.gate import frozen, gate
from roj.controllers.hands import Hands
from roj.controllers.image_puller import ImagePuller
from roj.controllers.labels import Owned
from roj.controllers.look import Looker
from roj.controllers.orders import Orders
from roj.controllers.pulls_ahead import PullsAhead
from roj.controllers.state import StateFile
from roj.controllers.this_node import ThisNode
from roj.framework.errors import TemporaryError
from roj.framework.reporter import Reporter
from roj.framework.watcher import View
from roj.runtime.interface import ContainerDetails, RuntimeFailure
from roj.runtime.simulated import SimulatedRuntime
from roj.store.interface import Conflict, StoreError
from roj.store.pool import StorePool
from tests.unit.framework.still import FakeStore, Still, World

CLUSTER = "k1"


class Disk:
    """A state directory in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"cluster": b"known"}
        self.previous: dict[str, None] = {}
        """Names whose last copy is damaged."""

    def read(self, name: str) -> StateFile | None:
        value = self.files.get(name)
        return StateFile(value, previous=name in self.previous) if value is not None else None

    def write(self, name: str, value: bytes) -> None:
        self.files[name] = value
        self.previous.pop(name, None)

    def delete(self, name: str) -> None:
        self.files.pop(name, None)

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.files if name.startswith(folder)))


class Node:
    """A node with its controllers, and the operators' writes to its store."""

    def __init__(self, seed: int = 0) -> None:
        self.still = Still(seed)
        self.world = World(self.still)
        self.docker = SimulatedRuntime(self.still)
        self.machine = self.docker.machine
        self.disk = Disk()
        self.may_act = True
        self.declared = NodeRecord(name="n1", cluster=CLUSTER)
        self.start()

    def start(self) -> None:
        """A new agent process: nothing is left of the one before but store, Docker and disk."""
        self.queue: list[tuple[float, int, str, str]] = []
        self.count = 0
        self.store = FakeStore(self.world)
        clients = StorePool(self.still, self.store)
        self.reporter = Reporter(self.still, self.store, "n1")
        node = ThisNode(
            "n1", lambda: CLUSTER, lambda: self.may_act,
            record=lambda: self.declared,
            frozen=lambda: frozen(self.declared, self.still.now()),
        )  # fmt: skip
        self.crashes = Crashes(self.still)
        self.orders = Orders(
            self.still,
            self.disk,
            clients,
            "n1",
            containers=self._labelled,
            waits=lambda order: gate(order, self.declared, self.still.now()) is not None,
            wake=lambda id, _: self.add("deploy", id),
        )
        looker = Looker(self.still, node, self.docker, self.crashes)
        self.hands = Hands(
            self.still, node, self.orders, runtime=self.docker, looker=looker, crashes=self.crashes
        )
        self.puller = ImagePuller(
            self.still, node, self.orders, self.docker, self.disk,
            enqueue=lambda reference, _: self.add("pull", reference),
            wake=lambda id, _: self.add("deploy", id),
            tell=lambda reason, message, instance, warning: None,
            ahead=lambda reference: self.ahead.wanting(reference),  # noqa: PLW0108  (made further down)
            wake_ahead=lambda key, _: self.add("ahead", key),
        )  # fmt: skip
        self.ahead = PullsAhead(
            self.still, node, self.orders, runtime=self.docker, clients=clients, reporter=self.reporter,
            images=self.puller, enqueue=lambda key, _: self.add("ahead", key),
        )  # fmt: skip
        self.deploy = Deploy(
            self.still, node, self.orders, looker=looker, hands=self.hands, clients=clients,
            reporter=self.reporter, images=self.puller, restarts=self.crashes.restarts,
            wake=lambda id, _: self.add("deploy", id),
        )  # fmt: skip
        self.compare = AntiEntropy(
            node, self.orders, self.docker, self.crashes, every=30.0,
            hand_over=lambda id, _, __: self.add("deploy", id), caused=self.hands.caused,
            look_now=lambda _: self.add("compare", "node"), reported=lambda: (),
        )  # fmt: skip
        self.collector = GarbageCollection(
            self.still, node, self.orders, runtime=self.docker, puller=self.puller, clients=clients,
            limits=Limits(), ahead=self.ahead, believe=lambda listing: None, tell=lambda *_: None,
        )  # fmt: skip
        self._handlers: dict[str, Callable[[str], float | None]] = {
            "deploy": self.deploy.reconcile,
            "pull": self.puller.reconcile,
            "ahead": self.ahead.reconcile,
            "compare": self.compare.reconcile,
        }
        self.events = self.docker.events(lambda: False)
        for order in self.orders.all():
            self.add("deploy", order.id)
        self.add("compare", "node")
        self.listen(first=True)

    # --- the agent's loop ---

    def add(self, controller: str, key: str, after: float = 0.0) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.still.monotonic() + after, self.count, controller, key))

    def listen(self, *, first: bool = False) -> None:
        """What the watcher would bring now."""
        if self.world.away:
            return
        entries = {
            key: entry for key, entry in self.world.entries.items() if key.startswith(keys.desired("n1"))
        }
        try:
            view = View(entries, tuple(sorted(entries)), first=first, reset=True)
            self.orders.take(view)
            self.ahead.take(view)
        except (StoreError, RuntimeFailure, OSError):
            self.add("listen", "", 1.0)

    def run(self, seconds: float) -> None:
        """Let everything that is due happen, for so long."""
        end = self.still.monotonic() + seconds
        while self.queue and self.queue[0][0] <= end:
            when, _, controller, key = heapq.heappop(self.queue)
            self.still.sleep(max(0.0, when - self.still.monotonic()))
            if controller == "listen":
                self.listen()
                continue
            later = [item for item in self.queue if item[2:] == (controller, key)]
            if any(item[0] <= self.still.monotonic() for item in later):
                continue
            self.queue = [item for item in self.queue if item not in later]
            heapq.heapify(self.queue)
            try:
                after = self._handlers[controller](key)
            except TemporaryError as error:
                after = error.delay
            except Conflict:
                after = 0.0
            except (StoreError, RuntimeFailure):
                after = 1.0
            if after is not None:
                self.add(controller, key, after)
        self.still.sleep(max(0.0, end - self.still.monotonic()))

    def status(self, id: str) -> InstanceStatus | None:
        """What was reported last."""
        return self.deploy._last.get(id)

    def phase(self, id: str) -> str | None:
        status = self.status(id)
        return status.phase if status is not None else None

    # --- operators ---

    def create(self, name: str, version: str, containers: list[dict[str, object]]) -> AppReference:
        spec = AppSpec.checked({"containers": containers})
        app = App.of(spec, name=name, version=version, created=self.still.now())
        self.world.put(keys.app(name, version), app.encode())
        return AppReference(name=name, version=version, digest=digest_of(app.encode()))

    def launch(self, id: str, app: AppReference) -> Instance:
        instance = new_instance(
            id=id,
            node="n1",
            uid=self.still.new_id(),
            write=Write(self.still.new_id(), self.still.now()),
            app=app,
        )
        self.write(instance)
        return instance

    def goal(self, id: str, goal: Goal) -> Instance:
        instance = changed(self.record(id), Write(self.still.new_id(), self.still.now()), goal)
        self.write(instance)
        return instance

    def upgrade(self, id: str, app: AppReference) -> Instance:
        instance = upgraded(self.record(id), Write(self.still.new_id(), self.still.now()), app, {})
        self.write(instance)
        return instance

    def roll_back(self, id: str, revision: Revision) -> Instance:
        instance = rolled_back(self.record(id), Write(self.still.new_id(), self.still.now()), revision)
        self.write(instance)
        return instance

    def declare(self, **marks: object) -> None:
        """What operators declare of the node now."""
        self.declared = self.declared.model_copy(update=marks)
        for order in self.orders.all():
            self.add("deploy", order.id)

    def write(self, instance: Instance) -> None:
        self.world.put(keys.instance("n1", instance.id), instance.encode())
        self.listen()

    def record(self, id: str) -> Instance:
        return Instance.decode(self.world.entries[keys.instance("n1", id)].value)

    # --- Docker ---

    def containers(self, id: str) -> list[ContainerDetails]:
        found = self.docker.containers({labels.INSTANCE: id})
        return [self.docker.container(summary.id) for summary in found]

    def only(self, id: str) -> ContainerDetails:
        (found,) = self.containers(id)
        return found

    def _labelled(self) -> tuple[Owned, ...]:
        found = (labels.parse(c.labels) for c in self.docker.containers(labels.of_node(CLUSTER, "n1")))
        return tuple(owned for owned in found if owned is not None)
