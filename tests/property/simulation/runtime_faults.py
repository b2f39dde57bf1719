"""A machine with Docker as its agent sees it: the simulated runtime, and what goes wrong between the two.

Faults of calls have a rate (0 to 1); a plan sets rates for a time.

    away           the daemon does not answer this call; nothing is done
    answer-lost    the call is done, and its answer lost
    slow           the call takes up to SLOW seconds before or after it is done
    start-refused  the engine cannot start the container
    name-taken     a create is done and its answer lost within the client, which repeats it: the name is taken
    stop-hangs     a stop takes HANG seconds more
    image-vanishes somebody removes the image between pull and create
    pull-fails     the registry does not answer
    pull-stalls    a pull stands still for STALL seconds
    events-cut     the stream of events breaks: what happens until it is there again is not told

What happens to the machine itself (the daemon dies, power fails, somebody stops a container) is in `happenings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from random import Random
from typing import Literal, TypeVar, get_args

from roj.runtime.interface import (
    ContainerDetails,
    ContainerSpec,
    ContainerSummary,
    DiskUsage,
    Image,
    InUse,
    NameTaken,
    Network,
    Progress,
    RegistryUnavailable,
    RestartPolicy,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeInfo,
    RuntimeUnavailable,
    StartRefused,
)
from roj.runtime.simulated import SimulatedRuntime
from roj.runtime.simulated_images import ImageStore, SimulatedRegistry
from roj.runtime.simulated_machine import KILLED, Machine
from roj.runtime.simulated_networks import Networks
from tests.property.simulation.environment import WorldEnvironment
from tests.property.simulation.scheduler import Scheduler

RuntimeFault = Literal[
    "away", "answer-lost", "slow", "start-refused", "name-taken", "stop-hangs", "image-vanishes", "pull-fails", "pull-stalls",
    "events-cut",
]  # fmt: skip
RUNTIME_FAULTS: tuple[RuntimeFault, ...] = get_args(RuntimeFault)

SLOW, HANG, STALL = 6.0, 25.0, 90.0
"""Seconds; of the slow ones at most."""
GLANCE = 5.0
"""Seconds between looks at whether the stream of events is to end."""

T = TypeVar("T")


class ObservedMachine(Machine):
    """A simulated machine whose every event is a step of the story, and is shown to whoever observes."""

    def __init__(
        self, scheduler: Scheduler, name: str, environment: WorldEnvironment, registry: SimulatedRegistry
    ) -> None:
        self.scheduler = scheduler
        self.name = name
        self.observers: list[Callable[[RuntimeEvent], None]] = []
        self.calls = 0
        """Calls that change something, done."""
        self.pulls = 0
        self.by_hand: dict[str, None] = {}
        """Containers that a person has started."""
        super().__init__(environment, registry)

    def tell(self, event: RuntimeEvent) -> None:
        name = event.labels.get("name", event.id[:12])
        self.scheduler.tell(
            f"{self.name} docker: {event.kind} {event.action} {name}", event.labels.get("exitCode", "")
        )
        super().tell(event)
        for observer in self.observers:
            observer(event)

    def lose_docker(self) -> None:
        """Docker's data is gone, and it was installed anew: it has another id, and does not run yet."""
        for container in self._containers.values():
            if container.live:
                self._end(container, KILLED, restart=False)
        self.kill_daemon()
        self._containers.clear()
        self.images = ImageStore()
        new_id = self._environment.new_id
        self.networks = Networks((new_id(), new_id(), new_id()))
        self.daemon_id = new_id()

    def lose_image(self, reference: str) -> None:
        """Somebody removes an image, if no container has it."""
        with suppress(InUse):
            if self.images.find(reference) is not None:
                self.images.remove(reference, [each.image_id for each in self.containers()])

    def start_by_hand(self, id: str) -> None:
        """Somebody starts a container, if it can be."""
        self.by_hand[id] = None
        with suppress(RuntimeFailure):
            self.start(id)

    def pull_by_hand(self, reference: str) -> Image | None:
        """Somebody pulls an image; None: the registry does not give it."""
        try:
            id, digest, size = self.registry.fetch(reference)
        except RuntimeFailure:
            return None
        return self.images.add(reference, id, digest, size, self._environment.now())


class FaultyRuntime:
    """One agent's view of its machine (roj.runtime.interface.Runtime)."""

    address = "simulated:"

    def __init__(self, scheduler: Scheduler, environment: WorldEnvironment, machine: ObservedMachine) -> None:
        self.machine = machine
        self.rates: dict[RuntimeFault, float] = {}
        self.calls = 0
        self.guards: list[Callable[[str, str], None]] = []
        """Told of every change before it is made: the call's name, and the id or reference that it is about."""
        self.met: dict[tuple[str, str], int] = {}
        """How often which call met which fault."""
        self._sound_since = 0.0
        self._scheduler = scheduler
        self._inner = SimulatedRuntime(environment, machine)
        self._random = Random(f"runtime {scheduler.schedule.seed} {machine.name}")

    def set(self, fault: RuntimeFault, rate: float) -> None:
        """From now on `rate` of the calls meet the fault; 0: none."""
        self.rates[fault] = rate
        if not any(self.rates.values()):
            self._sound_since = self._scheduler.now

    def heal(self) -> None:
        """Nothing goes wrong any more between the agent and its machine."""
        self._sound_since = self.sound_since
        self.rates.clear()

    @property
    def sound_since(self) -> float:
        """Since when nothing goes wrong with calls; if something does: now."""
        return self._scheduler.now if any(self.rates.values()) else self._sound_since

    # --- reads ---

    def info(self) -> RuntimeInfo:
        return self._call("info", "", self._inner.info)

    def disk_usage(self) -> DiskUsage | None:
        return self._call("disk_usage", "", self._inner.disk_usage)

    def containers(self, labels: Mapping[str, str] | None = None) -> tuple[ContainerSummary, ...]:
        return self._call("containers", "", lambda: self._inner.containers(labels))

    def container(self, id: str) -> ContainerDetails:
        return self._call("container", id, lambda: self._inner.container(id))

    def images(self) -> tuple[Image, ...]:
        return self._call("images", "", self._inner.images)

    def image(self, reference: str) -> Image | None:
        return self._call("image", reference, lambda: self._inner.image(reference))

    def networks(self, labels: Mapping[str, str] | None = None) -> tuple[Network, ...]:
        return self._call("networks", "", lambda: self._inner.networks(labels))

    def network(self, id: str) -> Network:
        return self._call("network", id, lambda: self._inner.network(id))

    def port_in_use(self, protocol: str, port: int) -> bool:
        self._scheduler.point()
        return self._inner.port_in_use(protocol, port)

    # --- changes ---

    def create(self, spec: ContainerSpec) -> str:
        def create() -> str:
            if self._meets("create", "image-vanishes"):
                self.machine.lose_image(spec.image)
            id = self._inner.create(spec)
            if self._meets("create", "name-taken"):
                raise NameTaken(f'The container name "/{spec.name}" is already in use')
            return id

        return self._call("create", spec.name, create, change=True)

    def start(self, id: str) -> None:
        def start() -> None:
            if self._meets("start", "start-refused"):
                container = self.machine.find(id)
                if not container.live:
                    container.error = "the engine could not start it: a simulated reason"
                    raise StartRefused(container.error)
            self._inner.start(id)

        self._call("start", self._name(id), start, change=True, about=id)

    def stop(self, id: str, timeout: float) -> None:
        def stop() -> None:
            if self._meets("stop", "stop-hangs"):
                self._scheduler.wait(f"a stop hangs for {HANG:.0f} s", HANG)
            self._inner.stop(id, timeout)

        self._call("stop", self._name(id), stop, change=True, about=id)

    def kill(self, id: str) -> None:
        self._call("kill", self._name(id), lambda: self._inner.kill(id), change=True, about=id)

    def unpause(self, id: str) -> None:
        self._call("unpause", self._name(id), lambda: self._inner.unpause(id), change=True, about=id)

    def remove(self, id: str) -> None:
        self._call("remove", self._name(id), lambda: self._inner.remove(id), change=True, about=id)

    def set_restart_policy(self, id: str, policy: RestartPolicy) -> None:
        self._call(
            "policy",
            f"{self._name(id)} {policy}",
            lambda: self._inner.set_restart_policy(id, policy),
            change=True,
            about=id,
        )

    def pull(self, reference: str, progress: Progress | None = None) -> Image:
        def pull() -> Image:
            self.machine.pulls += 1
            if self._meets("pull", "pull-stalls"):
                self._scheduler.wait(f"a pull stalls for {STALL:.0f} s", STALL)
            if self._meets("pull", "pull-fails"):
                raise RegistryUnavailable(f"{reference}: connection refused")
            image = self._inner.pull(reference, progress)
            if self._meets("pull", "image-vanishes"):
                self.machine.lose_image(reference)
            return image

        return self._call("pull", reference, pull, change=True)

    def remove_image(self, reference: str) -> None:
        self._call(
            "remove_image",
            reference,
            lambda: self._inner.remove_image(reference),
            change=True,
            about=reference,
        )

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> str:
        return self._call(
            "create_network", name, lambda: self._inner.create_network(name, subnet, labels), change=True
        )

    def remove_network(self, id: str) -> None:
        self._call("remove_network", id[:12], lambda: self._inner.remove_network(id), change=True, about=id)

    # --- events ---

    def events(self, stopped: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        while not stopped():
            for event in self.machine.events(stopped, GLANCE):
                if self._meets("events", "events-cut"):
                    self._scheduler.wait("the stream of events is cut", self._random.random() * 10)
                    break
                yield event
                self._scheduler.point()

    def close(self) -> None:
        """Nothing is open."""

    # --- a call ---

    def _call(
        self, name: str, words: str, work: Callable[[], T], *, change: bool = False, about: str = ""
    ) -> T:
        scheduler = self._scheduler
        scheduler.point()
        self.calls += 1
        if self._meets(name, "slow"):
            self._pause()
        if self._meets(name, "away"):
            scheduler.tell(f"docker: {name} {words}", "no answer")
            raise RuntimeUnavailable("the simulated daemon does not answer")
        if change:
            for guard in self.guards:
                guard(name, about)
        error: Exception | None = None
        try:
            result = work()
        except Exception as failure:  # noqa: BLE001  (it is the answer, and travels as one)
            error = failure
        lost = change and self._meets(name, "answer-lost")
        if change:
            self.machine.calls += 1
            outcome = "done" if error is None else f"{type(error).__name__}: {error}"
            scheduler.tell(f"docker: {name} {words}", outcome + (" (answer lost)" if lost else ""))
        if self._meets(name, "slow"):
            self._pause()
        scheduler.point()
        if lost:
            raise RuntimeUnavailable("the simulated daemon's answer was lost")
        if error is not None:
            raise error
        return result

    def _meets(self, call: str, fault: RuntimeFault) -> bool:
        rate = self.rates.get(fault, 0.0)
        met = bool(rate) and (rate >= 1.0 or self._random.random() < rate)
        if met:
            self.met[call, fault] = self.met.get((call, fault), 0) + 1
        return met

    def _pause(self) -> None:
        self._scheduler.wait("waits for Docker", SLOW * self._random.random() ** 3)
        self._scheduler.point()

    def _name(self, id: str) -> str:
        for container in self.machine.containers():
            if container.id == id:
                return container.spec.name
        return id[:12]
