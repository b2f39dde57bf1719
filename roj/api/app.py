"""App: an immutable definition `name:version` of one or more containers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from roj.api.clashes import clashes, update_clashes
from roj.api.duration import Duration
from roj.api.faults import Fault, InvalidInput, quoted
from roj.api.image import check_image
from roj.api.names import ENV_NAME, LABEL_KEY, Name, Version, check_text
from roj.api.options import Logging, PullPolicy, Resources, Stop
from roj.api.record import MAX_VALUE, Part, Record, Time, digest_of

Protocol = Literal["tcp", "udp"]
UpdateOrder = Literal["start-first", "stop-first"]
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")


def _check_env(env: dict[str, str]) -> dict[str, str]:
    faults = []
    for name, value in env.items():
        if not ENV_NAME.fullmatch(name):
            faults.append(Fault(name, f"{quoted(name)} is not a name of an environment variable"))
        elif name.startswith("ROJ_"):
            faults.append(Fault(name, "names beginning with ROJ_ are set by roj"))
        faults += _faults_of_text(name, value)
    if faults:
        raise InvalidInput(faults)
    return env


def _check_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{quoted(text)}: a path in the container begins with '/'")
    return text


def _check_tmpfs(text: str) -> str:
    path = check_text(text).partition(":")[0]
    if not path.startswith("/") or path.strip("/") == "":
        raise ValueError(f"{quoted(text)}: write a path in the container, with options after a colon")
    return text


def _check_hostname(text: str) -> str:
    if len(text) > 63 or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text, re.ASCII):
        raise ValueError(f"{quoted(text)} is no host's name: up to 63 of a-z, 0-9, '-' and '.'")
    return text


def _check_capability(text: str) -> str:
    if not re.fullmatch(r"(CAP_)?[A-Z][A-Z_]{2,30}", text, re.ASCII):
        raise ValueError(f"{quoted(text)} is no capability: write it as NET_RAW, or ALL")
    return text.removeprefix("CAP_")


def _check_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no address: write it as 10.0.0.1 or fd00::1") from None
    return text


def _check_hosts(hosts: dict[str, str]) -> dict[str, str]:
    for name, address in hosts.items():
        _check_hostname(name)
        if address != "host-gateway":
            _check_address(address)
    return hosts


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    faults = []
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key):
            faults.append(Fault(key, f"{quoted(key)} is not a label's key"))
        elif key.startswith("roj."):
            faults.append(Fault(key, "labels beginning with roj. are set by roj"))
        faults += _faults_of_text(key, value)
    if faults:
        raise InvalidInput(faults)
    return labels


def _faults_of_text(place: str, text: str) -> list[Fault]:
    try:
        check_text(text)
    except ValueError as problem:
        return [Fault(place, str(problem))]
    return []


def _check_volume(text: str) -> str:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(
            f"{quoted(text)}: write SRC:DST or SRC:DST:ro, a volume's name or a path of the node first"
        )
    source, destination = parts[0], parts[1]
    if len(parts) == 3 and parts[2] not in ("ro", "rw"):
        raise ValueError(f"{quoted(text)}: the third part is ro or rw")
    if not destination.startswith("/") or not destination.strip("/"):
        raise ValueError(f"{quoted(text)}: the path in the container begins with '/', and is not '/' itself")
    if "/" in source and not source.startswith("/"):
        raise ValueError(f"{quoted(text)}: a path of the node begins with '/', and a volume's name has none")
    if "/" not in source and not _VOLUME.fullmatch(source):
        raise ValueError(
            f"{quoted(text)}: a volume's name is 2 or more of A-Z, a-z, 0-9, '_', '.' and '-', a letter or digit first"
        )
    return check_text(text)


def _check_port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise ValueError(f"{quoted(number)} is no port: 1 to 65535")
    return number


PortNumber = Annotated[int, Field(strict=True), AfterValidator(_check_port)]


class Port(Part):
    """A port of a container, reached at a port of its node."""

    container: PortNumber
    """What the process listens on."""
    host: PortNumber | None = None
    """The node's port; absent: the node chooses one of its `--port-range` and keeps it."""
    protocol: Protocol = "tcp"
    """`tcp` or `udp`."""
    name: Name | None = None
    """For others to refer to it."""

    @property
    def key(self) -> str:
        """Docker's word for it: `80/tcp`."""
        return f"{self.container}/{self.protocol}"


Text = Annotated[str, AfterValidator(check_text)]


class Container(Part):
    """One container of an app."""

    name: Name
    """Unlike the others of the app; they reach it by this name."""
    image: Annotated[str, AfterValidator(check_image)]
    """`[HOST/]REPOSITORY[:TAG][@DIGEST]`, as Docker has it."""
    command: tuple[Text, ...] | None = None
    """Arguments in place of the image's own command; the image's entrypoint stays."""
    env: Annotated[dict[str, str], AfterValidator(_check_env)] = Field(default_factory=dict)
    """Environment variables (`--env`). Those that begin with ROJ_ are set by roj: `ROJ_PORT_80`, the node's port."""
    ports: tuple[Port, ...] = ()
    """What is reached from outside (`--publish`)."""
    volumes: tuple[Annotated[str, AfterValidator(_check_volume)], ...] = ()
    """In Docker's order, `SRC:DST[:ro]` (`--volume`): SRC is a volume's name or a path of the node. Volumes stay."""
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] = Field(default_factory=dict)
    """Docker labels (`--label`). Those that begin with roj. are set by roj."""
    entrypoint: tuple[Text, ...] | None = None
    """In place of the image's own (`--entrypoint`); the image's command is then not used, as Docker has it."""
    workdir: Annotated[Text, AfterValidator(_check_path)] | None = None
    """`--workdir`."""
    user: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """`NAME|UID[:GROUP|GID]` (`--user`)."""
    hostname: Annotated[str, AfterValidator(_check_hostname)] | None = None
    """`--hostname`."""
    tmpfs: tuple[Annotated[str, AfterValidator(_check_tmpfs)], ...] = ()
    """Paths in the container that are memory, as `/run` or `/run:size=64m` (`--tmpfs`)."""
    read_only: bool = False
    """Nothing but volumes and tmpfs can be written (`--read-only`)."""
    init: bool = False
    """A small process 1 that passes signals on and reaps (`--init`)."""
    cap_drop: tuple[Annotated[str, AfterValidator(_check_capability)], ...] = ()
    """Capabilities taken away, or `ALL` (`--cap-drop`)."""
    dns: tuple[Annotated[str, AfterValidator(_check_address)], ...] = ()
    """Addresses of name servers (`--dns`)."""
    extra_hosts: Annotated[dict[str, str], AfterValidator(_check_hosts)] = Field(default_factory=dict)
    """Addresses by name, `host-gateway` for the node (`--add-host`)."""
    resources: Resources = Resources()
    """What it may use."""
    stop: Stop = Stop()
    """How it is asked to stop."""
    logging: Logging = Logging()
    """Where its output goes."""
    pull: PullPolicy = "missing"
    """Whether an image that is not on the node is pulled (`--pull`): `missing` or `never`."""


def _check_together(containers: tuple[Container, ...]) -> tuple[Container, ...]:
    if faults := clashes(containers):
        raise InvalidInput(faults)
    return containers


Containers = Annotated[tuple[Container, ...], AfterValidator(_check_together)]


def _check_launch_timeout(seconds: float) -> float:
    if not 0 < seconds <= 86400:
        raise ValueError(f"is {seconds:g} s: more than 0, and 1d at the most")
    return seconds


class AppSpec(Part):
    """What an app file says."""

    containers: Containers
    """Started in this order."""
    update: UpdateOrder | None = None
    """Whether an upgrade starts the new containers before it stops the old ones; absent: where nothing forbids it."""
    launch_timeout: Annotated[Duration, AfterValidator(_check_launch_timeout)] = 60.0
    """Seconds from the end of the pull until an upgrade that is not launched has failed."""

    @model_validator(mode="after")
    def _update_is_possible(self) -> Self:
        if faults := update_clashes(self.update, self.containers):
            raise InvalidInput(faults)
        return self

    @classmethod
    def checked(cls, value: object) -> Self:
        try:
            return super().checked(value)
        except InvalidInput as refused:
            # Where a field is faulty pydantic goes on to no check of the whole; what could be read is compared anyway.
            faults = list(refused.faults)
            if isinstance(value, Mapping) and isinstance(listed := value.get("containers"), list | tuple):
                faults += [fault.under("containers") for fault in clashes(listed)]
                faults += update_clashes(value.get("update"), listed)
            raise InvalidInput(dict.fromkeys(faults)) from None

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
