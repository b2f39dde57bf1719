"""What a Compose service is reached by, and reaches: ports, networks, names."""

from __future__ import annotations

from roj.api.faults import quoted
from roj.importers.compose_project import ONE_NETWORK, Service
from roj.importers.compose_values import hosts_of, ports_of
from roj.importers.reading import Node


def ports(service: Service, node: Node) -> None:
    for item in node.items():
        with service.notes.reading(item.place):
            changed = ""
            if item.is_mapping and "app_protocol" in item.entries():
                changed = "app_protocol is left out: it is for meshes of services"
            for port in ports_of(item):
                service.draft.add("ports", port, item.place, changed)


def links(service: Service, node: Node) -> None:
    for item in node.items():
        with service.notes.reading(item.place):
            of, _, alias = item.text().partition(":")
            if alias and alias != of:
                raise item.refusal(f"{alias}: containers reach each other by the services' names alone")
            service.notes.changed(item.place, ONE_NETWORK)


def networks(service: Service, node: Node) -> None:
    if not node.is_mapping:
        for item in node.items():
            service.notes.changed(item.place, ONE_NETWORK)
        return
    for each in node.entries().values():
        service.notes.changed(each.place, ONE_NETWORK)
        if each.value is None:
            continue
        for key, part in each.entries().items():
            with service.notes.reading(part.place):
                _of_network(service, key, part)


def _of_network(service: Service, key: str, node: Node) -> None:
    if key == "aliases":
        for item in node.items():
            with service.notes.reading(item.place):
                if item.text() != service.name:
                    raise item.refusal("containers reach each other by the services' names alone")
    elif key not in ("priority", "gw_priority") and not key.startswith("x-") and not node.is_nothing:
        raise node.refusal(
            "roj gives an instance's network its addresses, and nothing else can be said of it"
        )


def network_mode(service: Service, node: Node) -> None:
    if node.text() not in ("bridge", "default"):
        raise node.refusal(f"{quoted(node.text())}: {ONE_NETWORK}")
    service.notes.changed(node.place, ONE_NETWORK)


def dns(service: Service, node: Node) -> None:
    for item in node.items():
        service.draft.add("dns", item.text(), item.place)


def extra_hosts(service: Service, node: Node) -> None:
    for name, address, place in hosts_of(node, service.notes):
        service.draft.put("extra_hosts", name, address, place)
