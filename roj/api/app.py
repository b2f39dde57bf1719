"""App: an immutable definition `name:version` of one or more containers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from roj.api.duration import Duration
from roj.api.names import ENV_NAME, LABEL_KEY, Name, Version
from roj.api.record import MAX_VALUE, Part, Record, Time, digest_of

Protocol = Literal["tcp", "udp"]
UpdateOrder = Literal["start-first", "stop-first"]


def _check_env(env: dict[str, str]) -> dict[str, str]:
    wrong = [name for name in env if not ENV_NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: not a name of an environment variable")
    reserved = [name for name in env if name.startswith("ROJ_")]
    if reserved:
        raise ValueError(f"{', '.join(map(repr, reserved))}: names beginning with ROJ_ are set by roj")
    if any("\0" in value for value in env.values()):
        raise ValueError("a value must not contain a zero byte")
    return env


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    wrong = [key for key in labels if not LABEL_KEY.fullmatch(key)]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: not a label's key")
    reserved = [key for key in labels if key.startswith("roj.")]
    if reserved:
        raise ValueError(f"{', '.join(map(repr, reserved))}: labels beginning with roj. are set by roj")
    return labels


def _check_volume(text: str) -> str:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(
            f"{text!r}: write SRC:DST or SRC:DST:ro, a volume's name or a path of the node first"
        )
    source, destination = parts[0], parts[1]
    if len(parts) == 3 and parts[2] not in ("ro", "rw"):
        raise ValueError(f"{text!r}: the third part is ro or rw")
    if not destination.startswith("/"):
        raise ValueError(f"{text!r}: the path in the container begins with '/'")
    if "/" in source and not source.startswith("/"):
        raise ValueError(f"{text!r}: a path of the node begins with '/', and a volume's name has none")
    return text


def _check_image(text: str) -> str:
    if not text or text != text.strip() or any(c.isspace() for c in text):
        raise ValueError(f"{text!r} is no image reference")
    repository = text.partition("@")[0]
    if repository.rpartition(":")[0] and "/" not in repository.rpartition(":")[2]:
        repository = repository.rpartition(":")[0]
    path = repository.split("/")
    first_is_host = len(path) > 1 and ("." in path[0] or ":" in path[0] or path[0] == "localhost")
    if any(part != part.lower() or not part for part in path[1 if first_is_host else 0 :]):
        raise ValueError(
            f"{text!r} is no image reference: a repository's name is in lower case, with no empty part"
        )
    return text


class Port(Part):
    """A port of a container, reached at a port of its node."""

    container: int = Field(ge=1, le=65535)
    host: int | None = Field(default=None, ge=1, le=65535)
    """The node's port; absent: the node chooses one of its `--port-range` and keeps it."""
    protocol: Protocol = "tcp"
    name: Name | None = None

    @property
    def key(self) -> str:
        """Docker's word for it: `80/tcp`."""
        return f"{self.container}/{self.protocol}"


class Container(Part):
    """One container of an app."""

    name: Name
    image: Annotated[str, AfterValidator(_check_image)]
    command: tuple[str, ...] | None = None
    """Arguments in place of the image's own command; the image's entrypoint stays."""
    env: Annotated[dict[str, str], AfterValidator(_check_env)] = Field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Annotated[str, AfterValidator(_check_volume)], ...] = ()
    """In Docker's order, `SRC:DST[:ro]`."""
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        keys = [port.key for port in self.ports]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"port {', '.join(twice)} is published twice")
        names = [port.name for port in self.ports if port.name]
        if len(names) != len(set(names)):
            raise ValueError("two ports have the same name")
        return self


def _check_count(containers: tuple[Container, ...]) -> tuple[Container, ...]:
    # Not pydantic's min_length: with a faulty container in the list it would say that the list is too short, too.
    if not 1 <= len(containers) <= MAX_CONTAINERS:
        raise ValueError(f"{len(containers)} containers; an app has 1 to {MAX_CONTAINERS}")
    return containers


MAX_CONTAINERS = 13
"""Containers of one app: as many as a /28 network has addresses for beside its gateway (DESIGN.md section 5)."""

Containers = Annotated[tuple[Container, ...], AfterValidator(_check_count)]


class AppSpec(Part):
    """What an app file says."""

    containers: Containers
    """Started in this order."""
    update: UpdateOrder | None = None
    """Whether an upgrade starts the new containers before it stops the old ones; absent: where nothing forbids it."""
    launch_timeout: Annotated[Duration, Field(gt=0, le=86400)] = 60.0
    """Seconds from the end of the pull until an upgrade that is not launched has failed."""

    @model_validator(mode="after")
    def _containers_differ(self) -> Self:
        names = [container.name for container in self.containers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two containers are called {', '.join(twice)}")
        claims = [(p.protocol, p.host) for c in self.containers for p in c.ports if p.host is not None]
        shared = sorted(
            {f"{host}/{protocol}" for protocol, host in claims if claims.count((protocol, host)) > 1}
        )
        if shared:
            raise ValueError(f"port {', '.join(shared)} of the node is asked for twice")
        if self.update == "start-first" and claims:
            raise ValueError("update: start-first: two revisions cannot have one fixed port of the node")
        return self

    def fields(self) -> dict[str, Any]:
        """What it specifies, by field."""
        return {field: getattr(self, field) for field in AppSpec.model_fields}

    @property
    def starts_first(self) -> bool:
        """Whether an upgrade to or from it can start the new containers beside the old ones, and should.

        By default where it takes no fixed port of the node and writes to no volume.
        """
        if self.update is not None:
            return self.update == "start-first"
        writes = any(not volume.endswith(":ro") for c in self.containers for volume in c.volumes)
        return not self.host_ports() and not writes

    def host_ports(self) -> tuple[tuple[str, int], ...]:
        """The fixed ports of the node that it takes, as (protocol, port)."""
        return tuple((p.protocol, p.host) for c in self.containers for p in c.ports if p.host is not None)


class App(AppSpec, Record):
    """An app as stored under `apps/<name>/<version>`."""

    what: ClassVar[str] = "app"

    name: Name
    version: Version
    created: Time
    created_by: str = ""
    why: str = ""

    @classmethod
    def of(
        cls, spec: AppSpec, *, name: str, version: str, created: datetime, created_by: str = "", why: str = ""
    ) -> App:
        """The app that `spec` specifies."""
        return cls(
            **spec.fields(), name=name, version=version, created=created, created_by=created_by, why=why
        )

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def spec(self) -> AppSpec:
        return AppSpec(**self.fields())

    def digest(self) -> str:
        """Its identity. Readers of a stored app take the digest of the stored bytes instead (`digest_of`)."""
        return digest_of(self.encode())


class AppReference(Part):
    """The app that an instance runs: name, version, and the digest that makes it certain."""

    name: Name
    version: Version
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class Pin(Record):
    """The image digest that a tag of an app meant when it was first pulled; created once, never changed."""

    what: ClassVar[str] = "pin"

    image: str
    """The reference as the app has it."""
    digest: str
    """`sha256:...`, as the registry calls it."""


__all__ = ["MAX_VALUE", "App", "AppReference", "AppSpec", "Container", "Pin", "Port", "Protocol"]
