"""The container runtime of one machine: containers, images, networks, as Docker's engine has them.

RuntimeFailure
 +- RuntimeUnavailable     the daemon did not answer: the outcome of a change is unknown
 +- NotFound               no such container, image, network
 +- NameTaken              a container of that name exists (409)
 +- PortTaken              a port of the host is in use ("already allocated", "address already in use")
 +- ImageNotFound          the registry has no such image, or denies it exists
 +- ImageDenied            the registry wants other credentials
 +- RegistryUnavailable    the registry did not answer, or failed
 +- InUse                  what is to be removed is in use (409)
 +- StartRefused           the engine could not start it: bad command, missing device, ... (400, 404 on start, 500)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from roj.api.options import Logging, Resources, Stop

State = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
RestartPolicy = Literal["no", "unless-stopped", "always", "on-failure"]


class RuntimeFailure(Exception):
    """Something is wrong with a call to the runtime."""


class RuntimeUnavailable(RuntimeFailure):
    """The daemon did not answer. A change may or may not have been made."""


class NotFound(RuntimeFailure):
    """No such container, image or network."""


class NameTaken(RuntimeFailure):
    """A container of that name exists."""


class PortTaken(RuntimeFailure):
    """A port of the host is in use by somebody."""


class ImageNotFound(RuntimeFailure):
    """The registry has no such image."""


class ImageDenied(RuntimeFailure):
    """The registry wants other credentials."""


class RegistryUnavailable(RuntimeFailure):
    """The registry did not answer, or failed."""


class InUse(RuntimeFailure):
    """What is to be removed is in use."""


class StartRefused(RuntimeFailure):
    """The engine could not start the container; the message is the engine's."""


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A port of a container, published at a port of the host."""

    container: int
    protocol: str
    host: int

    @property
    def key(self) -> str:
        return f"{self.container}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What to create."""

    name: str
    image: str
    """A reference or an image's id, present on the machine: create never pulls."""
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortBinding, ...] = ()
    volumes: tuple[str, ...] = ()
    """`SRC:DST[:ro]`, in order."""
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    """Id of a network; None: Docker's default bridge."""
    aliases: tuple[str, ...] = ()
    """Names that the network's other containers reach it by."""
    hostname: str | None = None
    entrypoint: tuple[str, ...] | None = None
    workdir: str | None = None
    user: str | None = None
    tmpfs: tuple[str, ...] = ()
    """`PATH[:OPTIONS]`."""
    read_only: bool = False
    init: bool = False
    cap_drop: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    stop: Stop = field(default_factory=Stop)
    logging: Logging | None = None
    """None: as the engine is configured."""


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """A container as in a list. Its state may be a moment old: at `die` Docker's list still says running."""

    id: str
    name: str
    image: str
    """The reference that it was created from, or the image's id where the tag has moved."""
    image_id: str
    state: State
    labels: Mapping[str, str]
    ports: tuple[PortBinding, ...]
    """Published now; Docker lists none of a container that is not running."""
    networks: tuple[str, ...]
    """Ids (or names) of its networks."""


@dataclass(frozen=True, slots=True)
class ContainerDetails(ContainerSummary):
    """A container inspected."""

    exit_code: int = 0
    error: str = ""
    """The engine's message of the last start that failed."""
    oom_killed: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    """May precede `started_at` after a restart."""
    restart_policy: RestartPolicy = "no"
    restart_count: int = 0
    """Restarts that Docker's policy made since the last start by a person or by roj."""
    stop_grace: float | None = None
    """Seconds between the signal and the kill that it was created with; None: Docker's default."""
    configured_ports: tuple[PortBinding, ...] = ()
    """As created, published or not."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the machine."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    """`repository@sha256:...` as registries call it."""
    size: int
    """Bytes."""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A network on the machine."""

    id: str
    name: str
    labels: Mapping[str, str]
    subnets: tuple[str, ...]
    containers: tuple[str, ...] = ()
    """Ids of running containers on it; from `network(id)` only."""


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """The daemon."""

    id: str
    version: str
    data_root: str
    containers: int = 0


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The file system that holds the images."""

    total: int
    used: int


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something that the engine told."""

    kind: Literal["container", "image", "network", "cut", "reconnected"]
    """`cut`: the stream has ended, the engine may be down. `reconnected`: it is there again; anything may have been
    missed."""
    action: str
    """Docker's word: `die`, `start`, `destroy`, `pause`, `kill`, `oom`, `stop`, ..."""
    id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The container's labels (attributes)."""


Progress = Callable[[str], None]
"""Told now and then how far a pull is, in words."""


class Runtime(Protocol):
    """The machine's containers. Safe to use from several threads. Every call may raise RuntimeUnavailable."""

    address: str

    def info(self) -> RuntimeInfo: ...

    def disk_usage(self) -> DiskUsage | None:
        """Of the daemon's data root; None where it cannot be known from here."""

    def containers(self, labels: Mapping[str, str] | None = None) -> tuple[ContainerSummary, ...]:
        """All containers, stopped ones included, that carry all of `labels`; ordered by name."""

    def container(self, id: str) -> ContainerDetails:
        """Raises: NotFound."""

    def create(self, spec: ContainerSpec) -> str:
        """The new id; restart policy `no`. Raises: NameTaken, NotFound (image or network), StartRefused."""

    def start(self, id: str) -> None:
        """Nothing happens if it runs. Raises: NotFound, PortTaken, StartRefused."""

    def stop(self, id: str, timeout: float) -> None:
        """SIGTERM, after `timeout` seconds SIGKILL. Nothing happens if it does not run. Raises: NotFound."""

    def kill(self, id: str) -> None:
        """Raises: NotFound. Nothing happens if it does not run."""

    def unpause(self, id: str) -> None:
        """Raises: NotFound. Nothing happens if it is not paused."""

    def remove(self, id: str) -> None:
        """Remove a container that does not run, with its anonymous volumes, never a named one. Gone already: nothing.

        Raises: InUse (it runs, or removal is in progress).
        """

    def set_restart_policy(self, id: str, policy: RestartPolicy) -> None:
        """`docker update --restart`. Raises: NotFound."""

    def images(self) -> tuple[Image, ...]: ...

    def image(self, reference: str) -> Image | None:
        """By tag, digest or id; None if it is not on the machine."""

    def pull(self, reference: str, progress: Progress | None = None) -> Image:
        """Raises: ImageNotFound, ImageDenied, RegistryUnavailable."""

    def remove_image(self, reference: str) -> None:
        """Without force; a reference that is a tag untags. Gone already: nothing. Raises: InUse."""

    def networks(self, labels: Mapping[str, str] | None = None) -> tuple[Network, ...]: ...

    def network(self, id: str) -> Network:
        """Raises: NotFound."""

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> str:
        """A bridge network's id. Names do not collide: find by label. Raises: InUse (the subnet overlaps another)."""

    def remove_network(self, id: str) -> None:
        """Gone already: nothing. Raises: InUse."""

    def events(self, stopped: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        """What the engine tells, for ever, reconnecting with back-off; ends soon after `stopped()` is true.

        The first event, and the first after each `cut`, is `reconnected`. A short cut may be told by that alone.
        """

    def port_in_use(self, protocol: str, port: int) -> bool:
        """Whether any process of the host listens there now (tried by binding)."""

    def close(self) -> None: ...


def matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether `labels` has all of `wanted`; an empty wanted value asks for the key only."""
    return all(key in labels and (not value or labels[key] == value) for key, value in wanted.items())
