"""A Compose file as an app: its services are the containers of an instance.

It is read by the rules of the Compose specification, from one file: `docker compose config` makes one of several.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from roj.api.faults import Fault, InvalidInput, quoted
from roj.importers.compose_order import chosen, in_order
from roj.importers.compose_project import Project, Service, Surroundings, project_name
from roj.importers.compose_service import read_service
from roj.importers.draft import Draft, app_of
from roj.importers.interpolation import Variables, env_file
from roj.importers.notes import Imported, Notes, Refused
from roj.importers.reading import Node, tree_of

NO_MEANING = "left out: it means nothing to Compose either"
UNUSED = "left out: no service that is imported uses it"
ONE_NETWORK = "an instance has one network of its own, whose addresses roj chooses"
RESOLVE = "roj reads one file; `docker compose config` writes one in which it is resolved"


def import_compose(
    document: object,
    around: Surroundings,
    place: str = "",
    *,
    services: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
) -> Imported:
    """The app that a parsed Compose file describes; `services`: only these, and what they depend on.

    Raises:
        InvalidInput: it is no Compose file at all; `place` is its name.
    """
    tree = tree_of(document, place)
    if not isinstance(tree, dict) or not isinstance(tree.get("services"), dict) or not tree["services"]:
        raise InvalidInput([Fault(place, "is no Compose file: `services:` with at least one is what it has")])
    return _Compose(tree, around, images or {}).imported(services)


class _Compose:
    """One import."""

    def __init__(self, tree: dict[str, object], around: Surroundings, images: Mapping[str, str]) -> None:
        self.notes = Notes()
        self.around = around
        known = {**self._dot_env(), **around.variables}
        self.root = Node(tree, "", Variables(known, self.notes).expand)
        name = known.get("COMPOSE_PROJECT_NAME") or posixpath.basename(around.directory)
        with self.notes.reading("name"):
            if tree.get("name") is not None:
                name = self.root.at("name", tree["name"]).text()
        name = project_name(name)
        known.setdefault("COMPOSE_PROJECT_NAME", name)
        self.project = Project(around, self.notes, known, self._volume, name, (), images)
        self.volumes: dict[str, None] = {}
        """Named volumes that a service uses."""

    def imported(self, named: Sequence[str]) -> Imported:
        services = {
            name: node
            for name, node in self.root.at("services", self.root.entries()["services"].value)
            .entries()
            .items()
            if not self._extension(name, node)
        }
        try:
            services = chosen(services, named, self.notes)
        except Refused as refused:
            raise InvalidInput([Fault(refused.place, refused.words)]) from None
        for name in self.project.images.keys() - services.keys():
            raise InvalidInput([Fault("--image", f"there is no service {quoted(name)} among those imported")])
        self.project.services = services.keys()
        drafts = [self._container(name, services[name]) for name in in_order(services, self.notes)]
        for key, node in self.root.entries().items():
            with self.notes.reading(node.place):
                self._top_level(key, node)
        if all("image" not in draft.fields for draft in drafts):
            if not any(note.kind == "refused" for note in self.notes):
                self.notes.refused("services", "has no service to import")
            return Imported(None, tuple(self.notes))
        return Imported(app_of(drafts, self.notes), tuple(self.notes))

    def _extension(self, name: str, node: Node) -> bool:
        if name.startswith("x-"):
            self.notes.changed(node.place, NO_MEANING)
        return name.startswith("x-")

    def _dot_env(self) -> dict[str, str]:
        """The variables of the file `.env` beside it, which Compose reads."""
        try:
            text = self.around.read(posixpath.join(self.around.directory, ".env"))
        except (OSError, ValueError):
            return {}
        self.notes.changed(".env", "read: the values of its variables are in the app file, as they are now")
        try:
            return env_file(text, ".env", self.notes, self.around.variables)
        except Refused as refused:
            self.notes.refused(refused.place, refused.words)
            return {}

    def _container(self, name: str, node: Node) -> Draft:
        draft = Draft(name, node.place, self.notes)
        with self.notes.reading(node.place):
            if name != name.lower():
                draft.take(
                    "name", name.lower(), node.place, f"called {name.lower()}: names are in lower case"
                )
            elif not draft.fits("name", name, node.place):
                return draft
            read_service(Service(name, draft, self.project), node)
        return draft

    def _top_level(self, key: str, node: Node) -> None:
        match key:
            case "services":
                return
            case "name":
                self.notes.changed(node.place, "left out: `roj create` says the name; the volumes' have it")
            case "version":
                self.notes.changed(node.place, NO_MEANING)
            case "networks":
                for each in node.entries().values() if node.value is not None else ():
                    with self.notes.reading(each.place):
                        self._network(each)
            case "volumes":
                for name, each in node.entries().items() if node.value is not None else ():
                    if name not in self.volumes:
                        self.notes.changed(each.place, UNUSED)
            case "secrets" | "configs" | "models":
                used = [
                    name
                    for name in self.project.services
                    if (service := self.root.entries()["services"].entries()[name]).is_mapping
                    and not service.entries().get(key, Node(None, "")).is_nothing
                ]
                if used:
                    raise node.refusal(f"roj has no {key} yet; {', '.join(used)} would use them")
                self.notes.changed(node.place, UNUSED)
            case "include":
                raise node.refusal(RESOLVE)
            case _ if key.startswith("x-"):
                self.notes.changed(node.place, NO_MEANING)
            case _:
                raise node.refusal("is no key of a Compose file that roj knows")
        if node.is_nothing and key in ("networks", "volumes"):
            self.notes.taken(node.place)

    def _network(self, node: Node) -> None:
        for key, each in node.entries().items() if node.value is not None else ():
            with self.notes.reading(each.place):
                if key == "driver" and each.value is not None and each.text() not in _DRIVERS:
                    raise each.refusal(f"{quoted(each.text())}: {ONE_NETWORK}")
                if key == "driver_opts" and not each.is_nothing:
                    raise each.refusal("roj gives an instance's network no options")
                if key in ("internal", "enable_ipv6") and each.flag():
                    raise each.refusal("roj's networks have IPv4, and a way out")
                if key not in _OF_NETWORKS and not key.startswith("x-"):
                    raise each.refusal("is no key of a network that roj knows")
        external = node.is_mapping and not node.entries().get("external", Node(None, "")).is_nothing
        others = "; containers of others that are in this one are not in it" if external else ""
        self.notes.changed(node.place, ONE_NETWORK + others)

    def _volume(self, at: Node, name: str) -> str:
        """The volume that Compose has on the node for `name`, so that its data stays where it is."""
        volumes = self.root.entries().get("volumes")
        if volumes is None or not volumes.is_mapping or name not in volumes.entries():
            raise at.refusal(f"{quoted(name)} is not among the file's volumes")
        node = volumes.entries()[name]
        first = name not in self.volumes
        self.volumes[name] = None
        full = f"{self.project.name}_{name}"
        entries = node.entries() if node.value is not None else {}
        external = entries.get("external")
        if external is not None and not external.is_nothing:
            full = name
            if external.is_mapping and "name" in external.entries():
                full = external.entries()["name"].text()
        if "name" in entries:
            full = entries["name"].text()
        if first:
            self._tell_volume(node, entries)
        return full

    def _tell_volume(self, node: Node, entries: Mapping[str, Node]) -> None:
        self.notes.taken(node.place)
        for key, each in entries.items():
            with self.notes.reading(each.place):
                if key in ("external", "name") or each.is_nothing:
                    continue
                if key == "driver":
                    if each.text() != "local":
                        raise each.refusal(f"{quoted(each.text())}: roj's volumes are Docker's local ones")
                elif key in ("driver_opts", "labels"):
                    raise each.refusal(
                        f"roj makes volumes without {key}; make this one on the node, as `external`"
                    )
                elif key.startswith("x-"):
                    self.notes.changed(each.place, NO_MEANING)
                else:
                    raise each.refusal("is no key of a volume that roj knows")


_DRIVERS = ("bridge", "default", "overlay")
_OF_NETWORKS = (
    "attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam", "labels", "name",
)  # fmt: skip
