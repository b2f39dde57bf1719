"""A job of Helios as an app of one container. What its fields mean: Helios's user manual, and its class Job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roj.api.faults import Fault, InvalidInput, quoted
from roj.api.names import NAME, parse_app_reference
from roj.importers.compose_values import ALL_ADDRESSES
from roj.importers.draft import Draft, app_of
from roj.importers.notes import Imported, Notes
from roj.importers.reading import Node, tree_of, written

GRACE = "2m"
"""What Helios waits from SIGTERM to SIGKILL where a job does not say."""


def import_helios(document: object, place: str = "", *, image: str | None = None) -> Imported:
    """The app that a parsed job configuration describes; `image` in place of the file's, which may have none.

    Raises:
        InvalidInput: it is no job at all; `place` is its name.
    """
    tree = tree_of(document, place)
    if not isinstance(tree, dict) or not tree:
        raise InvalidInput([Fault(place, "is no job of Helios: a JSON object is what it has")])
    return _Job(Node(tree, ""), image).imported()


class _Job:
    """One import."""

    def __init__(self, node: Node, image: str | None) -> None:
        self.node = node
        self.image = image
        self.entries = node.entries()
        self.notes = Notes()
        self.draft = Draft(self._name(), "", self.notes)
        self.update: tuple[str, str] | None = None

    def imported(self) -> Imported:
        for key, each in self.entries.items():
            with self.notes.reading(each.place):
                if key in READERS:
                    # A field that is null or empty is one that Helios itself writes where a job has none.
                    if each.is_nothing:
                        self.notes.taken(each.place)
                    else:
                        READERS[key](self, each)
                else:
                    raise each.refusal("is no field of a job of Helios that roj knows")
        if self.image is not None:
            self.draft.take("image", self.image, "--image")
        elif "image" not in self.entries or self.entries["image"].is_nothing:
            self.notes.refused("image", "is absent: --image names one, as Helios's command line did")
        if "stop" not in self.draft.fields:
            self.draft.take(
                "stop.grace", GRACE, "secondsToWaitBeforeKill", f"is absent: Helios waits {GRACE}"
            )
        if "image" not in self.draft.fields:
            return Imported(None, tuple(self.notes))
        return Imported(app_of([self.draft], self.notes, self.update), tuple(self.notes))

    def _name(self) -> str:
        """The container's: the job's, if it can be one."""
        value = self.entries["id"].value if "id" in self.entries else None
        name = value.partition(":")[0].lower() if isinstance(value, str) else ""
        return name if NAME.fullmatch(name) else "main"

    def id(self, node: Node) -> None:
        name, _, rest = node.text().partition(":")
        version = rest.partition(":")[0]
        try:
            parse_app_reference(f"{name.lower()}:{version}")
        except ValueError as problem:
            raise node.refusal(str(problem)) from None
        self.notes.changed(node.place, f"left out: `roj create {name.lower()}:{version} -f -` says it")

    def take_image(self, node: Node) -> None:
        if self.image is not None:
            self.notes.changed(node.place, f"in its place: {self.image}")
        else:
            self.draft.take("image", node.text(), node.place)

    def command(self, node: Node) -> None:
        words = [item.text() if item.value is not None else "" for item in node.items()]
        self.draft.take("command", words, node.place)

    def env(self, node: Node) -> None:
        for key, value, place in node.pairs(self.notes):
            self.draft.put("env", key, value or "", place)

    def ports(self, node: Node) -> None:
        for name, each in node.entries().items():
            with self.notes.reading(each.place):
                self._port(name, each)

    def _port(self, name: str, node: Node) -> None:
        entries = {key: each for key, each in node.entries().items() if each.value is not None}
        if unknown := entries.keys() - {"ip", "internalPort", "externalPort", "protocol"}:
            raise node.refusal(f"{quoted(min(unknown))} is not known here")
        if "internalPort" not in entries:
            raise node.refusal("has no internalPort")
        if "ip" in entries and entries["ip"].text() not in ALL_ADDRESSES:
            raise node.refusal(
                f"only at {entries['ip'].text()}: roj publishes ports at all addresses of a node"
            )
        protocol = entries["protocol"].text().lower() if "protocol" in entries else "tcp"
        number = entries["internalPort"].whole()
        port: dict[str, Any] = {"container": number, "protocol": protocol, "name": name.lower()}
        if "externalPort" in entries:
            port["host"] = entries["externalPort"].whole()
        variable = f"ROJ_PORT_{number}" + ("_UDP" if protocol == "udp" else "")
        self.draft.add(
            "ports", port, node.place, f"HELIOS_PORT_{name} is not set in the container; {variable} is"
        )

    def volumes(self, node: Node) -> None:
        for key, each in node.entries().items():
            with self.notes.reading(each.place):
                target, *flags = key.split(":")
                if any(flag not in ("ro", "rw") for flag in flags):
                    raise each.refusal(f"{quoted(key)}: write CONTAINER-PATH, with :ro or :rw behind it")
                source = each.text() if each.value is not None else ""
                changed = "in Docker's order"
                if not source:
                    source = self.draft.fields["name"] + target.replace("/", "_")
                    changed = f"named {source}: roj's volumes have names"
                mode = ":ro" if "ro" in flags else ""
                self.draft.add("volumes", f"{source}:{target}{mode}", each.place, changed)

    def ramdisks(self, node: Node) -> None:
        for path, options, place in node.pairs(self.notes):
            self.draft.add("tmpfs", f"{path}:{options}" if options else path, place)

    def resources(self, node: Node) -> None:
        fields = {
            "memory": "memory", "memorySwap": "memory_swap", "cpuShares": "cpu_shares", "cpuset": "cpuset",
        }  # fmt: skip
        for key, each in node.entries().items():
            with self.notes.reading(each.place):
                if key not in fields:
                    raise each.refusal("is not known here")
                if each.is_nothing or each.value == 0:
                    self.notes.taken(each.place)
                else:
                    value = each.text() if key == "cpuset" else each.whole()
                    self.draft.take(f"resources.{fields[key]}", value, each.place)

    def labels(self, node: Node) -> None:
        for key, value, place in node.pairs(self.notes):
            self.draft.put("labels", key, value or "", place)

    def metadata(self, node: Node) -> None:
        for key, value, place in node.pairs(self.notes):
            label = f"helios.metadata.{key}"
            self.draft.put("labels", label, value or "", place, f"kept as the label {label}")

    def drop_capabilities(self, node: Node) -> None:
        for item in node.items():
            with self.notes.reading(item.place):
                self.draft.add("cap_drop", item.text().upper(), item.place)

    def grace(self, node: Node) -> None:
        self.draft.take("stop.grace", node.whole(), node.place)

    def grace_period(self, node: Node) -> None:
        registration = self.entries.get("registration")
        if registration is not None and not registration.is_nothing:
            raise node.refusal("roj registers nothing yet, so there is nothing to wait for")
        self.notes.changed(node.place, "left out: without registration Helios does not wait either")

    def network_mode(self, node: Node) -> None:
        if node.text() not in ("bridge", "default"):
            raise node.refusal(f"{quoted(node.text())}: an instance has one network, its own")
        self.notes.changed(node.place, "an instance has one network, its own")

    def rollout_options(self, node: Node) -> None:
        for key, each in node.entries().items():
            with self.notes.reading(each.place):
                if key == "overlap" and each.value is not None:
                    self.update = ("start-first" if each.flag() else "stop-first", each.place)
                    self.notes.changed(each.place, f"update: {self.update[0]}")
                elif key in ROLLOUT:
                    self.notes.changed(each.place, f"left out: {ROLLOUT[key]}; it was {quoted(_shown(each))}")
                else:
                    raise each.refusal("is not known here")

    def of_helios(self, node: Node) -> None:
        self.notes.changed(node.place, "left out: roj writes down when and by whom an app is created")


def _shown(node: Node) -> str:
    return written(node.scalar())


ROLLOUT: dict[str, str] = {
    "ignoreFailures": "`roj rollout start --max-failures` says it",
    "migrate": "`roj upgrade` and `roj rollout` change the instances that there are",
    "overlap": "without it roj starts first where it can",
    "parallelism": "`roj rollout start --batch` says it",
    "timeout": "`launch_timeout` of the app file says it",
    "token": "roj has no tokens yet",
}
"""Of `rolloutOptions`: where roj has it."""


def _refused(words: str) -> Callable[[_Job, Node], None]:
    def read(job: _Job, node: Node) -> None:
        raise node.refusal(words)

    return read


def _text(into: str) -> Callable[[_Job, Node], None]:
    def read(job: _Job, node: Node) -> None:
        job.draft.take(into, node.text(), node.place)

    return read


READERS: dict[str, Callable[[_Job, Node], None]] = {
    "addCapabilities": _refused("roj adds no capabilities yet"),
    "command": _Job.command,
    "created": _Job.of_helios,
    "creatingUser": _Job.of_helios,
    "dropCapabilities": _Job.drop_capabilities,
    "env": _Job.env,
    "expires": _refused("roj's apps do not expire yet"),
    "gracePeriod": _Job.grace_period,
    "healthCheck": _refused("roj has no health checks yet"),
    "hostname": _text("hostname"),
    "id": _Job.id,
    "image": _Job.take_image,
    "labels": _Job.labels,
    "metadata": _Job.metadata,
    "networkMode": _Job.network_mode,
    "ports": _Job.ports,
    "ramdisks": _Job.ramdisks,
    "registration": _refused("roj registers nothing in Consul yet"),
    "registrationDomain": _refused("roj registers nothing in Consul yet"),
    "resources": _Job.resources,
    "rolloutOptions": _Job.rollout_options,
    "runtime": _refused("roj takes the node's own runtime"),
    "secondsToWaitBeforeKill": _Job.grace,
    "securityOpt": _refused("roj has no security options yet"),
    "token": _refused("roj has no tokens yet"),
    "volumes": _Job.volumes,
}
"""What becomes of each field of a job."""
