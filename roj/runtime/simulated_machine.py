"""A simulated machine with Docker: its containers, and all that happens to them without roj.

Semantics are Docker 20.10's as observed on a real engine; the conformance tests run the same cases against both. No
thread runs here: what is due by the clock (a process ends, a policy restarts one) happens when somebody looks next, in
order. Test handles, which take the lock themselves: `crash`, `occupy`, `vacate`, `kill_daemon`, `stop_daemon`,
`start_daemon`, `boot`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from roj.environment import Environment
from roj.runtime.interface import (
    ContainerSpec,
    DiskUsage,
    InUse,
    NameTaken,
    NotFound,
    PortTaken,
    RestartPolicy,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeUnavailable,
    StartRefused,
)
from roj.runtime.simulated_container import Container
from roj.runtime.simulated_images import ImageStore, SimulatedRegistry
from roj.runtime.simulated_networks import Networks
from roj.runtime.simulated_process import process_of

KEPT_EVENTS = 1000
"""A reader of the event stream that is further behind has missed something, and is told so."""

KILLED, LOST, REFUSED, NO_PROGRAM = 137, 255, 128, 127
"""Exit codes as Docker gives them: by SIGKILL, of a process that went with the machine, of a start that failed."""


class Machine:
    """Containers, images and networks of one machine. Safe to use from several threads."""

    def __init__(self, environment: Environment, registry: SimulatedRegistry | None = None) -> None:
        self.registry = registry or SimulatedRegistry()
        self.images = ImageStore()
        self.disk_size = 100_000_000_000
        """Bytes of the file system."""
        self.disk_other = 10_000_000_000
        """Bytes of it that no image takes."""
        self.daemon_id = environment.new_id()
        self.up = True
        """Whether the daemon answers."""
        self.changed = environment.condition()
        """The lock of everything here; notified at every event, and when the daemon comes or goes."""
        self.networks = Networks(
            (self._new_id(environment), self._new_id(environment), self._new_id(environment))
        )
        self._environment = environment
        self._containers: dict[str, Container] = {}
        self._listeners: set[tuple[str, int]] = set()
        self._events: deque[RuntimeEvent] = deque(maxlen=KEPT_EVENTS)
        self._told = 0
        self._lives = 0

    # What the daemon answers. `daemon()` is held around each.

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Hold the daemon's lock, with all done that is due. Raises: RuntimeUnavailable."""
        with self.changed:
            if not self.up:
                raise RuntimeUnavailable("the simulated daemon does not run")
            self.advance()
            yield

    def containers(self) -> tuple[Container, ...]:
        """Ordered by name."""
        return tuple(sorted(self._containers.values(), key=lambda each: each.spec.name))

    def find(self, id: str) -> Container:
        """By id or name. Raises: NotFound."""
        if id in self._containers:
            return self._containers[id]
        for each in self._containers.values():
            if each.spec.name == id:
                return each
        raise NotFound(f"No such container: {id}")

    def create(self, spec: ContainerSpec) -> str:
        """Raises: NameTaken, NotFound."""
        image = self.images.find(spec.image)
        if image is None:
            raise NotFound(f"No such image: {spec.image}")
        network = self.networks.find(spec.network).id if spec.network else self.networks.bridge
        if any(each.spec.name == spec.name for each in self._containers.values()):
            raise NameTaken(f'The container name "/{spec.name}" is already in use')
        container = Container(
            id=self._new_id(self._environment),
            spec=spec,
            image_id=image.id,
            network=network,
            process=process_of(spec.command),
            created_at=self._environment.now(),
        )
        self._containers[container.id] = container
        self._tell(container, "create")
        return container.id

    def start(self, id: str) -> None:
        """Raises: NotFound, PortTaken, StartRefused."""
        container = self.find(id)
        if container.state == "paused" or container.lost_while_paused:
            raise StartRefused("cannot start a paused container, try unpause instead")
        if container.state in ("running", "restarting"):
            return
        container.restarts, container.stopped_by_hand = 0, False
        self._begin(container)

    def kill(self, id: str, *, action: str = "kill", exit_code: int = KILLED) -> None:
        """`docker kill`; with another action and code, the end of a stop."""
        container = self.find(id)
        if container.state == "restarting":
            container.stopped_by_hand = True
            container.state, container.due = "exited", None
        elif container.live:
            container.stopped_by_hand = True
            self._tell(container, "kill")
            self._end(container, exit_code)
            if action != "kill":
                self._tell(container, action)

    def pause(self, id: str) -> None:
        """Raises: NotFound, InUse (it does not run)."""
        container = self.find(id)
        if container.state != "running":
            raise InUse(f"container {id} is not running")
        container.state = "paused"
        if container.due is not None:
            container.left, container.due = container.due - self._environment.monotonic(), None
        self._tell(container, "pause")

    def unpause(self, id: str) -> None:
        """Nothing happens if it is not paused. Raises: NotFound."""
        container = self.find(id)
        if container.state == "paused":
            container.state = "running"
            if container.left is not None:
                container.due, container.left = self._environment.monotonic() + container.left, None
            self._tell(container, "unpause")

    def remove(self, id: str, *, force: bool = False) -> None:
        """Raises: NotFound, InUse."""
        container = self.find(id)
        if container.live or container.state == "restarting":
            if not force:
                raise InUse(f"You cannot remove a {container.state} container {container.id}")
            self.kill(container.id)
        del self._containers[container.id]
        self._tell(container, "destroy")

    def set_policy(self, id: str, policy: RestartPolicy) -> None:
        """Raises: NotFound. A restart that is already due still happens."""
        container = self.find(id)
        container.policy = policy
        self._tell(container, "update")

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> str:
        """Raises: InUse."""
        id = self._new_id(self._environment)
        self.networks.create(id, name, subnet, labels)
        self.tell(RuntimeEvent("network", "create", id, {"name": name, "type": "bridge"}))
        return id

    def remove_network(self, id: str) -> None:
        """Gone already: nothing. Raises: InUse."""
        try:
            network = self.networks.find(id)
        except NotFound:
            return
        if self.networks.remove(network.id, used=bool(self.members(network.id))):
            self.tell(
                RuntimeEvent("network", "destroy", network.id, {"name": network.name, "type": "bridge"})
            )

    def members(self, network: str) -> tuple[str, ...]:
        """Ids of the containers that run on it."""
        return tuple(
            sorted(each.id for each in self._containers.values() if each.live and each.network == network)
        )

    def disk_usage(self) -> DiskUsage:
        """The file system."""
        return DiskUsage(self.disk_size, self.disk_other + sum(image.size for image in self.images.all()))

    def port_in_use(self, protocol: str, port: int) -> bool:
        """Whether a container or another program has it."""
        return (protocol, port) in self._listeners or any(
            (binding.protocol, binding.host) == (protocol, port)
            for each in self._containers.values()
            if each.live
            for binding in each.spec.ports
        )

    # What happens beside the daemon: processes end, programs take ports, the daemon and the machine go down.

    def crash(self, id: str, exit_code: int = 1, *, out_of_memory: bool = False) -> None:
        """The container's process ends by itself. Raises: NotFound."""
        with self.changed:
            self.advance()
            container = self.find(id)
            if container.live:
                container.oom_killed = out_of_memory
                if out_of_memory:
                    self._tell(container, "oom")
                self._end(container, exit_code)

    def occupy(self, protocol: str, port: int) -> None:
        """Another program takes a port of the machine."""
        with self.changed:
            self._listeners.add((protocol, port))

    def vacate(self, protocol: str, port: int) -> None:
        """It gives it back."""
        with self.changed:
            self._listeners.discard((protocol, port))

    def kill_daemon(self) -> None:
        """kill -9 of dockerd: the containers run on, without an engine."""
        with self.changed:
            self.advance()
            self._go_down()

    def stop_daemon(self) -> None:
        """An orderly end: dockerd stops its containers; that does not count as by hand."""
        with self.changed:
            self.advance()
            for container in self._containers.values():
                if container.live:
                    self._end(container, 0 if container.process.heeds_term else KILLED, restart=False)
            self._go_down()

    def start_daemon(self) -> None:
        """dockerd starts: processes that outlived it are stopped, as if by hand; then the policies act."""
        with self.changed:
            if self.up:
                return
            self.up = True
            for container in self._containers.values():
                if container.live and (
                    container.due is None or container.due > self._environment.monotonic()
                ):
                    container.stopped_by_hand = True
                    self._end(container, 0 if container.process.heeds_term else KILLED, restart=False)
                elif container.live:
                    self._end(container, container.process.exit_code, restart=False)
            self._revive()

    def boot(self) -> None:
        """The machine lost power and comes back: all processes died, dockerd starts."""
        with self.changed:
            self.advance()
            self._go_down()
            self.up = True
            self._listeners.clear()
            for container in self._containers.values():
                if container.live:
                    container.lost_while_paused = container.state == "paused"
                    self._end(container, LOST, restart=False)
            self._revive()

    # Events.

    def tell(self, event: RuntimeEvent) -> None:
        """Write an event to the stream."""
        self._events.append(event)
        self._told += 1
        self.changed.notify_all()

    def events(self, stopped: Callable[[], bool], glance: float) -> Iterator[RuntimeEvent]:
        """The stream; looks every `glance` seconds at whether it is `stopped`."""
        life = position = -1
        while not stopped():
            with self.changed:
                self.advance()
                missed = position < self._told - len(self._events)
                found: list[RuntimeEvent] = []
                if not self.up:
                    if life != -1:
                        found = [RuntimeEvent("cut", "")]
                    life = -1
                elif life != self._lives or missed:
                    life, position = self._lives, self._told
                    found = [RuntimeEvent("reconnected", "")]
                else:
                    found = list(self._events)[len(self._events) - (self._told - position) :]
                    position = self._told
                if not found:
                    self.changed.wait(min(glance, self._until_due()))
                    continue
            yield from found

    # Time.

    def advance(self) -> None:
        """Do what is due by now, in order. The lock is held."""
        now = self._environment.monotonic()
        while self.up:
            due = [each for each in self._containers.values() if each.due is not None and each.due <= now]
            if not due:
                return
            container = min(due, key=lambda each: each.due or 0.0)
            if container.state == "restarting":
                self._restart(container)
            else:
                self._end(container, container.process.exit_code)

    def _until_due(self) -> float:
        due = [each.due for each in self._containers.values() if each.due is not None]
        return max(0.0, min(due) - self._environment.monotonic()) if due and self.up else float("inf")

    def _begin(self, container: Container) -> None:
        """Start its process. Raises: PortTaken, StartRefused, after which it is as before, with the error noted."""
        container.connected = True
        try:
            self.networks.check(container.network)
            for port in container.spec.ports:
                if self.port_in_use(port.protocol, port.host):
                    raise PortTaken(f"Bind for 0.0.0.0:{port.host} failed: port is already allocated")
            if not container.process.found:
                raise StartRefused(
                    f'exec: "{(container.spec.command or ("",))[0]}": executable file not found'
                )
        except RuntimeFailure as failure:
            container.error = str(failure)
            container.exit_code = NO_PROGRAM if not container.process.found else REFUSED
            if container.state == "restarting":
                container.state = "exited"
            container.due = None
            raise
        container.state, container.exit_code, container.error = "running", 0, ""
        container.oom_killed = False
        container.started_at = self._environment.now()
        container.begun = self._environment.monotonic()
        container.runs += 1
        seconds = container.process.seconds
        container.due = None if seconds is None else container.begun + seconds
        self._tell(container, "start")

    def _end(self, container: Container, exit_code: int, *, restart: bool = True) -> None:
        """Its process ended; the policy may have it restarted."""
        ran = self._environment.monotonic() - container.begun
        container.state, container.due, container.left = "exited", None, None
        container.exit_code = exit_code
        container.finished_at = self._environment.now()
        if restart and not container.stopped_by_hand and container.policy_restarts():
            container.state = "restarting"
            container.restarts += 1
            container.due = self._environment.monotonic() + container.next_backoff(ran)
        self._tell(container, "die", {"exitCode": str(exit_code)})

    def _restart(self, container: Container) -> None:
        try:
            self._begin(container)
        except RuntimeFailure:
            return  # Docker gives up, too: the error is in the container's state

    def _go_down(self) -> None:
        self.up = False
        self._lives += 1
        self.changed.notify_all()

    def _revive(self) -> None:
        """The policies at the daemon's start: for all that was ever started."""
        self.changed.notify_all()
        for container in self._containers.values():
            if container.state == "restarting":
                container.state, container.due = "exited", None
            started = container.started_at is not None
            if started and container.state == "exited" and container.policy_restarts():
                if container.lost_while_paused:
                    continue
                container.restarts, container.stopped_by_hand = 0, False
                self._restart(container)

    def _tell(self, container: Container, action: str, more: Mapping[str, str] | None = None) -> None:
        labels = {**container.spec.labels, "image": container.spec.image, "name": container.spec.name}
        self.tell(RuntimeEvent("container", action, container.id, {**labels, **(more or {})}))

    @staticmethod
    def _new_id(environment: Environment) -> str:
        """As long as Docker's."""
        return environment.new_id() + environment.new_id()
