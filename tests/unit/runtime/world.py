"""A machine with a runtime, and hands that reach it past roj: what the conformance cases need of either kind."""

from __future__ import annotations

import itertools
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from engines.program import free_ports
from roj.environment import RealEnvironment
from roj.runtime.interface import ContainerSpec, PortBinding, Runtime, State
from roj.runtime.simulated import Machine, SimulatedRegistry, SimulatedRuntime

LABEL = "test.roj"
FOREVER = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
"""Ends at SIGTERM, with exit code 0."""
DEAF = ("sh", "-c", "sleep 1000")
"""Does not."""

T = TypeVar("T")

_count = itertools.count()


def eventually(look: Callable[[], T], holds: Callable[[T], object] = bool, seconds: float = 30) -> T:
    """What `look` returns as soon as `holds` says so of it; fails after `seconds`, saying what it last was."""
    deadline = time.monotonic() + seconds
    while not holds(found := look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        time.sleep(0.02)
    return found


class World(ABC):
    """One machine. `close` removes what the tests left."""

    runtime: Runtime
    subnets: Iterator[str]

    @abstractmethod
    def image(self, name: str = "web:v1", content: str = "") -> str:
        """A reference that the registry has; another content is another image of that name."""

    @abstractmethod
    def missing_image(self) -> str:
        """A reference that the registry does not have."""

    @abstractmethod
    def registry_down(self) -> None: ...

    @abstractmethod
    def registry_up(self) -> None: ...

    @abstractmethod
    def pause(self, id: str) -> None: ...

    @abstractmethod
    def remove_by_force(self, id: str) -> None: ...

    @abstractmethod
    def crash(self, id: str) -> None:
        """The process is killed without the engine's doing: exit code 137."""

    @abstractmethod
    def kill_daemon(self) -> None: ...

    @abstractmethod
    def stop_daemon(self) -> None: ...

    @abstractmethod
    def start_daemon(self) -> None: ...

    @abstractmethod
    def boot(self) -> None: ...

    @abstractmethod
    def listener(self, port: int) -> AbstractContextManager[None]:
        """Another program has the port."""

    def name(self) -> str:
        return f"case{next(_count)}"

    def port(self) -> int:
        return free_ports(1)[0]

    def here(self) -> str:
        """A pulled image."""
        reference = self.image()
        self.runtime.pull(reference)
        return reference

    def create(
        self,
        *,
        command: tuple[str, ...] | None = FOREVER,
        ports: tuple[PortBinding, ...] = (),
        network: str | None = None,
        volumes: tuple[str, ...] = (),
        name: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> str:
        return self.runtime.create(
            ContainerSpec(
                name or self.name(),
                self.here(),
                command=command,
                ports=ports,
                network=network,
                volumes=volumes,
                labels={LABEL: "1", **(labels or {})},
            )
        )

    def running(
        self, *, command: tuple[str, ...] | None = FOREVER, ports: tuple[PortBinding, ...] = ()
    ) -> str:
        id = self.create(command=command, ports=ports)
        self.runtime.start(id)
        return id

    def network(self, name: str | None = None) -> str:
        return self.runtime.create_network(name or self.name(), next(self.subnets), {LABEL: "1"})

    def becomes(self, id: str, state: State) -> None:
        eventually(lambda: self.runtime.container(id).state, lambda found: found == state)

    def clean(self) -> None:
        for container in self.runtime.containers({LABEL: ""}):
            self.remove_by_force(container.id)
        for network in self.runtime.networks({LABEL: ""}):
            self.runtime.remove_network(network.id)


class SimulatedWorld(World):
    def __init__(self) -> None:
        environment = RealEnvironment()
        self.registry = SimulatedRegistry(everything=False)
        self.machine = Machine(environment, self.registry)
        self.simulated = SimulatedRuntime(environment, self.machine)
        self.runtime = self.simulated
        self.subnets = (f"10.213.{number // 16}.{number % 16 * 16}/28" for number in itertools.count())

    def image(self, name: str = "web:v1", content: str = "") -> str:
        self.registry.publish(f"registry.test/{name}", content)
        return f"registry.test/{name}"

    def missing_image(self) -> str:
        return "registry.test/missing:v1"

    def registry_down(self) -> None:
        self.registry.down = True

    def registry_up(self) -> None:
        self.registry.down = False

    def pause(self, id: str) -> None:
        self.simulated.pause(id)

    def remove_by_force(self, id: str) -> None:
        self.simulated.remove_by_force(id)

    def crash(self, id: str) -> None:
        self.machine.crash(id, 137)

    def kill_daemon(self) -> None:
        self.machine.kill_daemon()

    def stop_daemon(self) -> None:
        self.machine.stop_daemon()

    def start_daemon(self) -> None:
        self.machine.start_daemon()

    def boot(self) -> None:
        self.machine.boot()

    @contextmanager
    def listener(self, port: int) -> Iterator[None]:
        self.machine.occupy("tcp", port)
        yield
        self.machine.vacate("tcp", port)


@contextmanager
def listening(port: int) -> Iterator[None]:
    """A real program that listens."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", port))
        server.listen()
        yield
