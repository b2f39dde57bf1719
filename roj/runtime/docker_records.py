"""From Docker's JSON to the records of the interface, and from a ContainerSpec to Docker's JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, cast

from roj.api.options import Resources
from roj.runtime.interface import (
    ContainerDetails,
    ContainerSpec,
    ContainerSummary,
    Image,
    Network,
    PortBinding,
    RestartPolicy,
    RuntimeEvent,
    State,
)

Json = Mapping[str, Any]

NO_TIME = "0001-01-01T00:00:00"
"""What Docker writes for a moment that has not come."""

PUBLISHING = ("running", "paused")
"""States with ports. Docker shows stale ones of a container that it found running, and stopped, when it was started."""


def container_body(spec: ContainerSpec) -> dict[str, Any]:
    """The body of `POST /containers/create`. What it leaves out is Docker's default."""
    ports: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        ports.setdefault(port.key, []).append({"HostPort": str(port.host)})
    host: dict[str, Any] = {
        "Binds": list(spec.volumes),
        "PortBindings": ports,
        "RestartPolicy": {"Name": "no"},
    }
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "ExposedPorts": {key: {} for key in ports},
        "HostConfig": host,
    }
    for key, value in (
        ("Cmd", spec.command), ("Entrypoint", spec.entrypoint), ("Hostname", spec.hostname), ("User", spec.user),
        ("WorkingDir", spec.workdir),
    ):  # fmt: skip
        if value is not None:
            body[key] = value if isinstance(value, str) else list(value)
    if spec.stop.signal is not None:
        body["StopSignal"] = f"SIG{spec.stop.signal}"
    body["StopTimeout"] = ceil(spec.stop.grace)
    host.update(_limits(spec.resources))
    if spec.tmpfs:
        host["Tmpfs"] = {path: options for path, _, options in (text.partition(":") for text in spec.tmpfs)}
    if spec.read_only:
        host["ReadonlyRootfs"] = True
    if spec.init:
        host["Init"] = True
    if spec.cap_drop:
        host["CapDrop"] = list(spec.cap_drop)
    if spec.dns:
        host["Dns"] = list(spec.dns)
    if spec.extra_hosts:
        host["ExtraHosts"] = [f"{name}:{address}" for name, address in spec.extra_hosts.items()]
    if spec.logging is not None:
        host["LogConfig"] = {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
    if spec.network is not None:
        host["NetworkMode"] = spec.network
        body["NetworkingConfig"] = {"EndpointsConfig": {spec.network: {"Aliases": list(spec.aliases)}}}
    return body


def _limits(resources: Resources) -> dict[str, Any]:
    """What a container may use, as `HostConfig` has it."""
    fields = {
        "Memory": resources.memory,
        "MemorySwap": resources.memory_swap,
        "NanoCpus": round(resources.cpus * 1e9) if resources.cpus is not None else None,
        "CpuShares": resources.cpu_shares,
        "CpusetCpus": resources.cpuset,
        "PidsLimit": resources.pids,
        "ShmSize": resources.shm,
    }
    limits: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    if resources.ulimits:
        limits["Ulimits"] = [
            {"Name": name, "Soft": limit.soft, "Hard": limit.hard}
            for name, limit in resources.ulimits.items()
        ]
    return limits


def container_summary(entry: Json) -> ContainerSummary:
    """One entry of `GET /containers/json`."""
    ports = {
        PortBinding(port["PrivatePort"], port["Type"], port["PublicPort"])
        for port in entry.get("Ports") or ()
        if port.get("PublicPort")
    }
    return ContainerSummary(
        id=entry["Id"],
        name=_own_name(entry.get("Names") or ()),
        image=entry.get("Image", ""),
        image_id=entry.get("ImageID", ""),
        state=cast("State", entry["State"]),
        labels=dict(entry.get("Labels") or {}),
        ports=_ordered(ports) if entry["State"] in PUBLISHING else (),
        networks=_networks(entry),
    )


def container_details(entry: Json) -> ContainerDetails:
    """The answer of `GET /containers/ID/json`."""
    state, config, host = entry["State"], entry["Config"], entry.get("HostConfig") or {}
    settings = entry.get("NetworkSettings") or {}
    return ContainerDetails(
        id=entry["Id"],
        name=entry["Name"].lstrip("/"),
        image=config.get("Image", ""),
        image_id=entry.get("Image", ""),
        state=cast("State", state["Status"]),
        labels=dict(config.get("Labels") or {}),
        ports=_bindings(settings.get("Ports")) if state["Status"] in PUBLISHING else (),
        networks=_networks(entry),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        oom_killed=state.get("OOMKilled", False),
        created_at=moment(entry.get("Created")),
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        restart_policy=cast("RestartPolicy", (host.get("RestartPolicy") or {}).get("Name") or "no"),
        restart_count=entry.get("RestartCount", 0),
        stop_grace=config.get("StopTimeout"),
        configured_ports=_bindings(host.get("PortBindings")),
    )


def image_of_list(entry: Json) -> Image:
    """One entry of `GET /images/json`."""
    created = entry.get("Created", 0)  # seconds; far below 0 where the image says nothing
    return Image(
        id=entry["Id"],
        tags=_references(entry.get("RepoTags")),
        digests=_references(entry.get("RepoDigests")),
        size=entry.get("Size", 0),
        created_at=datetime.fromtimestamp(created, UTC) if created >= 0 else None,
    )


def image_inspected(entry: Json) -> Image:
    """The answer of `GET /images/NAME/json`."""
    return Image(
        id=entry["Id"],
        tags=_references(entry.get("RepoTags")),
        digests=_references(entry.get("RepoDigests")),
        size=entry.get("Size", 0),
        created_at=moment(entry.get("Created")),
    )


def network(entry: Json) -> Network:
    """One network, listed or inspected."""
    pools = (entry.get("IPAM") or {}).get("Config") or ()
    return Network(
        id=entry["Id"],
        name=entry["Name"],
        labels=dict(entry.get("Labels") or {}),
        subnets=tuple(pool["Subnet"] for pool in pools if pool.get("Subnet")),
        containers=tuple(sorted(entry.get("Containers") or ())),
    )


def event(entry: Json) -> RuntimeEvent | None:
    """One line of `GET /events`; None for kinds that nobody here asks for."""
    kind, actor = entry.get("Type"), entry.get("Actor") or {}
    if kind not in ("container", "image", "network"):
        return None
    action = entry.get("Action", "")
    return RuntimeEvent(
        kind=kind,
        # `exec_start: sh -c ...` and `health_status: healthy` carry words of their own
        action=action.partition(":")[0],
        id=actor.get("ID", ""),
        labels=dict(actor.get("Attributes") or {}),
    )


def moment(text: str | None) -> datetime | None:
    """A moment as Docker writes it, to the microsecond; None where there is none."""
    if not text or text.startswith(NO_TIME):
        return None
    return datetime.fromisoformat(text)


def label_filters(labels: Mapping[str, str] | None) -> list[str]:
    """Docker's label filters: `key=value`, or the key alone for an empty value."""
    return [f"{key}={value}" if value else key for key, value in (labels or {}).items()]


def _own_name(names: Iterable[str]) -> str:
    """A linked container has its links' names too, `/other/alias`."""
    return next((name[1:] for name in names if name.count("/") == 1), "")


def _bindings(table: Mapping[str, list[dict[str, str]] | None] | None) -> tuple[PortBinding, ...]:
    found = set()
    for key, bindings in (table or {}).items():
        port, _, protocol = key.partition("/")
        for binding in bindings or ():
            if (host := binding.get("HostPort") or "0") != "0":
                found.add(PortBinding(int(port), protocol or "tcp", int(host)))
    return _ordered(found)


def _ordered(ports: Iterable[PortBinding]) -> tuple[PortBinding, ...]:
    return tuple(sorted(ports, key=lambda port: (port.container, port.protocol, port.host)))


def _networks(entry: Json) -> tuple[str, ...]:
    """Of a container that has not started Docker knows the network's name only."""
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return tuple(sorted((settings or {}).get("NetworkID") or name for name, settings in networks.items()))


def _references(found: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted(reference for reference in found or () if "<none>" not in reference))
