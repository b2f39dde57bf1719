"""How much a Compose service may use, how many of it there are, and what becomes of it when it ends."""

from __future__ import annotations

from roj.importers.compose_fields import DEPLOY_LEFT_OUT
from roj.importers.compose_project import KEPT, Reader, Service
from roj.importers.reading import Node


def limit(into: str) -> Reader:
    """A limit; 0, and -1 of processes, is none."""

    def read(service: Service, node: Node) -> None:
        value = node.text().strip()
        if value in ("0", "0.0") or (value == "-1" and into == "resources.pids"):
            service.notes.changed(node.place, f"left out: {value} is no limit, as roj has it without")
            return
        numbers = {
            "resources.cpus": node.number,
            "resources.cpu_shares": node.whole,
            "resources.pids": node.whole,
        }
        service.draft.take(into, numbers[into]() if into in numbers else value, node.place)

    return read


def ulimits(service: Service, node: Node) -> None:
    for name, each in node.entries().items():
        with service.notes.reading(each.place):
            if each.is_mapping:
                parts = each.entries()
                if parts.keys() != {"soft", "hard"}:
                    raise each.refusal("write soft and hard, or one number for both")
                written = f"{parts['soft'].whole()}:{parts['hard'].whole()}"
            else:
                written = f"{each.whole()}"
            service.draft.put("resources.ulimits", name, written, each.place)


def restart(service: Service, node: Node) -> None:
    policy = "no" if node.value is False else "" if node.value is None else node.text()
    if policy == "no":
        raise node.refusal(f"`no`: {KEPT}, and has none that end yet")
    if policy == "always":
        service.notes.taken(node.place)
    else:
        service.notes.changed(node.place, KEPT)


def scale(service: Service, node: Node) -> None:
    if node.whole() != 1:
        raise node.refusal(f"{node.whole()}: an instance has one container of each; deploy more instances")
    service.notes.taken(node.place)


def deploy(service: Service, node: Node) -> None:
    for key, each in node.entries().items():
        with service.notes.reading(each.place):
            if each.is_nothing:
                service.notes.taken(each.place)
            elif key == "resources":
                _deploy_resources(service, each)
            elif key == "replicas":
                scale(service, each)
            elif key == "restart_policy":
                if each.is_mapping and (condition := each.entries().get("condition")) is not None:
                    _restart_condition(service, condition)
                service.notes.changed(each.place, KEPT)
            elif key in DEPLOY_LEFT_OUT:
                service.notes.changed(each.place, DEPLOY_LEFT_OUT[key])
            elif key.startswith("x-"):
                service.notes.changed(each.place, "left out: it means nothing to Compose either")
            else:
                raise each.refusal("is no key of deploy that roj knows")


def _restart_condition(service: Service, node: Node) -> None:
    if node.text() == "none":
        raise node.refusal(f"none: {KEPT}, and has none that end yet")


def _deploy_resources(service: Service, node: Node) -> None:
    for key, group in node.entries().items():
        for name, each in group.entries().items() if group.value is not None else ():
            with service.notes.reading(each.place):
                if key == "limits" and name in ("cpus", "memory", "pids"):
                    limit(f"resources.{name}")(service, each)
                elif key == "reservations" and name == "cpus":
                    service.notes.changed(each.place, "left out: it is for Swarm to place by")
                else:
                    raise each.refusal("roj has limits of cpus, memory and pids, and no reservations")
        if group.is_nothing:
            service.notes.taken(group.place)
