"""The Runtime protocol without Docker: for `roj dev`, the demo where no engine can run, and the simulation.

>>> runtime = SimulatedRuntime(environment, Machine(environment))
>>> runtime.machine.kill_daemon()  # also: start_daemon, boot, crash, occupy, registry.withdraw, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from roj.environment import Environment
from roj.runtime.interface import (
    ContainerDetails,
    ContainerSpec,
    ContainerSummary,
    DiskUsage,
    Image,
    Network,
    NotFound,
    Progress,
    RestartPolicy,
    RuntimeEvent,
    RuntimeInfo,
    matches,
)
from roj.runtime.simulated_container import Container
from roj.runtime.simulated_images import SimulatedRegistry
from roj.runtime.simulated_machine import KILLED, Machine

SCHEME = "simulated:"

GLANCE = 0.25
"""Seconds between looks at whether the event stream is to end."""

__all__ = ["SCHEME", "Machine", "SimulatedRegistry", "SimulatedRuntime"]


class SimulatedRuntime:
    """One view of a simulated machine: several agents may share one."""

    def __init__(self, environment: Environment, machine: Machine | None = None) -> None:
        self.address = SCHEME
        self.machine = machine or Machine(environment)
        self._environment = environment

    def info(self) -> RuntimeInfo:
        with self.machine.daemon():
            return RuntimeInfo(
                self.machine.daemon_id, "simulated", "/var/lib/docker", len(self.machine.containers())
            )

    def disk_usage(self) -> DiskUsage | None:
        with self.machine.daemon():
            return self.machine.disk_usage()

    def containers(self, labels: Mapping[str, str] | None = None) -> tuple[ContainerSummary, ...]:
        with self.machine.daemon():
            return tuple(
                self._summary(each)
                for each in self.machine.containers()
                if matches(each.spec.labels, labels or {})
            )

    def container(self, id: str) -> ContainerDetails:
        with self.machine.daemon():
            container = self.machine.find(id)
            return container.details(self.machine.networks.name_of(container.network))

    def create(self, spec: ContainerSpec) -> str:
        with self.machine.daemon():
            return self.machine.create(spec)

    def start(self, id: str) -> None:
        with self.machine.daemon():
            self.machine.start(id)

    def stop(self, id: str, timeout: float) -> None:
        with self.machine.daemon():
            container = self.machine.find(id)
            if container.process.heeds_term or not container.live:
                self.machine.kill(container.id, action="stop", exit_code=0)
                return
            # Marked at once, not after the wait: a process that ends meanwhile is not restarted by its policy.
            container.stopped_by_hand = True
            run = container.runs
        self._environment.sleep(timeout)
        with self.machine.daemon():
            if container.runs == run:
                self.machine.kill(container.id, action="stop", exit_code=KILLED)

    def kill(self, id: str) -> None:
        with self.machine.daemon():
            self.machine.kill(id)

    def unpause(self, id: str) -> None:
        with self.machine.daemon():
            self.machine.unpause(id)

    def remove(self, id: str) -> None:
        with self.machine.daemon():
            try:
                self.machine.remove(id)
            except NotFound:
                return

    def set_restart_policy(self, id: str, policy: RestartPolicy) -> None:
        with self.machine.daemon():
            self.machine.set_policy(id, policy)

    def images(self) -> tuple[Image, ...]:
        with self.machine.daemon():
            return self.machine.images.all()

    def image(self, reference: str) -> Image | None:
        with self.machine.daemon():
            return self.machine.images.find(reference)

    def pull(self, reference: str, progress: Progress | None = None) -> Image:
        with self.machine.daemon():
            self.machine.registry.fetch(reference)
        for percent in range(0, 110, 10):
            if progress:
                progress(f"pulling {percent} %")
            if self.machine.registry.seconds and percent < 100:
                self._environment.sleep(self.machine.registry.seconds / 10)
        with self.machine.daemon():
            id, digest, size = self.machine.registry.fetch(reference)
            image = self.machine.images.add(reference, id, digest, size, self._environment.now())
            self.machine.tell(RuntimeEvent("image", "pull", reference, {"name": reference}))
            return image

    def remove_image(self, reference: str) -> None:
        with self.machine.daemon():
            used = [each.image_id for each in self.machine.containers()]
            for action in self.machine.images.remove(reference, used):
                self.machine.tell(RuntimeEvent("image", action, reference, {"name": reference}))

    def networks(self, labels: Mapping[str, str] | None = None) -> tuple[Network, ...]:
        with self.machine.daemon():
            return tuple(each for each in self.machine.networks.all() if matches(each.labels, labels or {}))

    def network(self, id: str) -> Network:
        with self.machine.daemon():
            found = self.machine.networks.find(id)
            members = self.machine.members(found.id)
            return Network(found.id, found.name, found.labels, found.subnets, members)

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> str:
        with self.machine.daemon():
            return self.machine.create_network(name, subnet, labels)

    def remove_network(self, id: str) -> None:
        with self.machine.daemon():
            self.machine.remove_network(id)

    def events(self, stopped: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        return self.machine.events(stopped, GLANCE)

    def port_in_use(self, protocol: str, port: int) -> bool:
        with self.machine.changed:  # needs no daemon
            self.machine.advance()
            return self.machine.port_in_use(protocol, port)

    def close(self) -> None:
        """Nothing is open."""

    def pause(self, id: str) -> None:
        """As a person with `docker pause`: roj itself never does. Raises: NotFound, InUse (it does not run)."""
        with self.machine.daemon():
            self.machine.pause(id)

    def remove_by_force(self, id: str) -> None:
        """As a person with `docker rm --force`. Raises: NotFound."""
        with self.machine.daemon():
            self.machine.remove(id, force=True)

    def _summary(self, container: Container) -> ContainerSummary:
        tagged = self.machine.images.find(container.spec.image)
        return container.summary(
            tagged.id if tagged else None, self.machine.networks.name_of(container.network)
        )
