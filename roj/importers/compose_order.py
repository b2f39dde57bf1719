"""Which services of a Compose file are imported, and in which order their containers start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from roj.importers.notes import Notes, Refused
from roj.importers.reading import Node


def dependencies(service: Node) -> dict[str, str]:
    """The services that are to be there before it, and where it says so: `depends_on` and `links`."""
    found: dict[str, str] = {}
    if not service.is_mapping:
        return found
    entries = service.entries()
    for key in ("depends_on", "links"):
        node = entries.get(key)
        if node is None:
            continue
        if node.is_mapping and key == "depends_on":
            found.update({name: each.place for name, each in node.entries().items()})
        elif not node.is_mapping:
            for item in node.items():
                if isinstance(item.value, str):
                    found[item.value.partition(":")[0]] = item.place
    return found


def chosen(services: Mapping[str, Node], named: Sequence[str], notes: Notes) -> dict[str, Node]:
    """The services that are imported: those named with what they depend on, else all that have no profile.

    Raises:
        Refused: one is named that is not there.
    """
    for name in named:
        if name not in services:
            raise Refused("services", f"has no {name!r}: --service names one of its own")
    wanted = set(named or (name for name, node in services.items() if not _profiled(node)))
    waiting = list(wanted) if named else []
    while waiting:
        new = [
            name for name in dependencies(services[waiting.pop()]) if name in services and name not in wanted
        ]
        wanted.update(new)
        waiting += new
    for name, node in services.items():
        if name not in wanted:
            why = "not named" if named else "it has a profile; --service names it"
            notes.changed(node.place, f"left out: {why}")
    return {name: node for name, node in services.items() if name in wanted}


def _profiled(service: Node) -> bool:
    return (
        service.is_mapping and (node := service.entries().get("profiles")) is not None and not node.is_nothing
    )


def in_order(services: Mapping[str, Node], notes: Notes) -> list[str]:
    """The names, each behind those that it depends on, and else as in the file; a circle is refused."""
    after = {name: dependencies(node) for name, node in services.items()}
    order: list[str] = []
    left: dict[str, None] = dict.fromkeys(services)
    while left:
        ready = _first(left, lambda name: after[name].keys() & left.keys() - {name})
        if ready is None:
            name = next(iter(left))
            of, place = next((of, place) for of, place in after[name].items() if of in left and of != name)
            notes.refused(place, f"{of} is to start after {name}, too, if not at once: that is a circle")
            ready = name
        order.append(ready)
        del left[ready]
    return order


def _first(left: Iterable[str], blocked: Callable[[str], Collection[str]]) -> str | None:
    return next((name for name in left if not blocked(name)), None)
