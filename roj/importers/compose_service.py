"""One service of a Compose file as a container of an app."""

from __future__ import annotations

from roj.api.faults import quoted
from roj.importers import compose_environment, compose_limits, compose_mounts, compose_network
from roj.importers.compose_fields import LEFT_OUT, REFUSED
from roj.importers.compose_limits import limit
from roj.importers.compose_project import KEPT, Reader, Service
from roj.importers.compose_values import words_of
from roj.importers.reading import Node, written


def read_service(service: Service, node: Node) -> None:
    """Takes, changes or refuses every key."""
    entries = node.entries()
    if not entries:
        raise node.refusal("says nothing")
    image = service.project.images.get(service.name)
    files_first = sorted(entries.items(), key=lambda entry: entry[0] not in ("env_file", "label_file"))
    for key, each in files_first:
        with service.notes.reading(each.place):
            if image is not None and key in ("image", "build"):
                service.notes.changed(each.place, f"in its place: {image}")
            elif key.startswith("x-"):
                service.notes.changed(each.place, "left out: it means nothing to Compose either")
            elif key in READERS and not (each.is_nothing and key != "restart"):
                READERS[key](service, each)
            else:
                _not_read(service, key, each)
    if image is not None:
        service.draft.take("image", image, f"--image {service.name}")
    elif "image" not in entries and "build" not in entries:
        service.notes.refused(f"{node.place}.image", "is absent, and --image says none")
    if "restart" not in entries and not _has_restart_policy(node):
        service.notes.changed(f"{node.place}.restart", f"is absent, which is `no` to Compose: {KEPT}")


def _not_read(service: Service, key: str, node: Node) -> None:
    if node.is_nothing and (key in REFUSED or key in READERS):
        if node.value is not None and key in ("command", "entrypoint", "image"):
            raise node.refusal("is empty: roj keeps the image's own, and cannot clear it")
        service.notes.taken(node.place)
    elif key in LEFT_OUT:
        service.notes.changed(node.place, LEFT_OUT[key])
    elif key in REFUSED:
        raise node.refusal(REFUSED[key])
    else:
        raise node.refusal("is no key of a service that roj knows")


def build(service: Service, node: Node) -> None:
    raise node.refusal(f"roj builds no images: push one, and say --image {service.name}=REFERENCE")


def command(service: Service, node: Node) -> None:
    service.draft.take("command", words_of(node), node.place)


def entrypoint(service: Service, node: Node) -> None:
    service.draft.take("entrypoint", words_of(node), node.place)


def depends_on(service: Service, node: Node) -> None:
    """The order is made of it in `compose_order`; here is what it asks for besides."""
    if not node.is_mapping:
        for item in node.items():
            with service.notes.reading(item.place):
                _after(service, item.text(), item)
        return
    for name, each in node.entries().items():
        with service.notes.reading(each.place):
            _after(service, name, each)
        if not each.is_mapping:
            continue
        for key, part in each.entries().items():
            with service.notes.reading(part.place):
                _condition(service, key, part)


def _after(service: Service, name: str, node: Node) -> None:
    if name in service.project.services:
        service.notes.taken(node.place)
    elif node.is_mapping and "required" in node.entries() and not node.entries()["required"].flag():
        service.notes.changed(node.place, f"left out: {name} is not among the services, and need not be")
    else:
        raise node.refusal(f"{quoted(name)} is not among the services that are imported")


def _condition(service: Service, key: str, node: Node) -> None:
    if key == "condition" and node.text() != "service_started":
        raise node.refusal(f"{node.text()}: roj starts containers in order, and waits for no more yet")
    if key == "restart" and node.flag():
        service.notes.changed(node.place, "left out: an upgrade gives an instance all of its containers anew")
    elif key in ("condition", "restart", "required"):
        service.notes.taken(node.place)
    else:
        raise node.refusal("is not known here")


def cap_drop(service: Service, node: Node) -> None:
    for item in node.items():
        service.draft.add("cap_drop", item.text().upper(), item.place)


def logging(service: Service, node: Node) -> None:
    """Driver and options go together: roj's own options are of its own driver."""
    entries = node.entries()
    if unknown := entries.keys() - {"driver", "options"}:
        raise node.refusal(f"{quoted(min(unknown))} is not known here")
    driver = entries["driver"].text() if "driver" in entries else "json-file"
    options = {}
    if "options" in entries and entries["options"].value is not None:
        options = {key: written(each.scalar()) for key, each in entries["options"].entries().items()}
    service.draft.take("logging", {"driver": driver, "options": options}, node.place)


def stop_grace_period(service: Service, node: Node) -> None:
    service.draft.take("stop.grace", node.text(), node.place)


def pull_policy(service: Service, node: Node) -> None:
    policy = node.text()
    if policy in ("missing", "if_not_present"):
        service.draft.take("pull", "missing", node.place)
    elif policy == "never":
        service.draft.take("pull", "never", node.place)
    else:
        raise node.refusal(f"{quoted(policy)}: roj pulls an image that is missing, or never")


def _text(into: str) -> Reader:
    def read(service: Service, node: Node) -> None:
        service.draft.take(into, node.text(), node.place)

    return read


def _flag(into: str) -> Reader:
    def read(service: Service, node: Node) -> None:
        service.draft.take(into, node.flag(), node.place)

    return read


READERS: dict[str, Reader] = {
    "build": build,
    "cap_drop": cap_drop,
    "command": command,
    "cpu_shares": limit("resources.cpu_shares"),
    "cpus": limit("resources.cpus"),
    "cpuset": _text("resources.cpuset"),
    "depends_on": depends_on,
    "deploy": compose_limits.deploy,
    "dns": compose_network.dns,
    "entrypoint": entrypoint,
    "env_file": compose_environment.env_file,
    "environment": compose_environment.environment,
    "extra_hosts": compose_network.extra_hosts,
    "hostname": _text("hostname"),
    "image": _text("image"),
    "init": _flag("init"),
    "label_file": compose_environment.label_file,
    "labels": compose_environment.labels,
    "links": compose_network.links,
    "logging": logging,
    "mem_limit": limit("resources.memory"),
    "memswap_limit": limit("resources.memory_swap"),
    "network_mode": compose_network.network_mode,
    "networks": compose_network.networks,
    "pids_limit": limit("resources.pids"),
    "ports": compose_network.ports,
    "pull_policy": pull_policy,
    "read_only": _flag("read_only"),
    "restart": compose_limits.restart,
    "scale": compose_limits.scale,
    "shm_size": limit("resources.shm"),
    "stop_grace_period": stop_grace_period,
    "stop_signal": _text("stop.signal"),
    "tmpfs": compose_mounts.tmpfs,
    "ulimits": compose_limits.ulimits,
    "user": _text("user"),
    "volumes": compose_mounts.volumes,
    "working_dir": _text("workdir"),
}
"""What reads each key that an app file has a word for, or that must be looked into."""


def _has_restart_policy(node: Node) -> bool:
    deploy = node.entries().get("deploy")
    return deploy is not None and deploy.is_mapping and "restart_policy" in deploy.entries()
