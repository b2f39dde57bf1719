"""Documents of `roj apply`: each says of one app, one node or one instance what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, StrictBool

from roj.api.app import App, AppSpec
from roj.api.faults import Fault, InvalidInput, quoted
from roj.api.instance import Instance
from roj.api.names import InstanceId, Name, parse_app_reference
from roj.api.node import Node
from roj.api.record import Part
from roj.api.selector import check_label
from roj.api.window import parse_window

KINDS = ("app", "node", "instance")
"""The fields of which a document has exactly one."""


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    faults = []
    for key, value in labels.items():
        try:
            check_label(key, value)
        except ValueError as problem:
            faults.append(Fault(key, str(problem)))
    if faults:
        raise InvalidInput(faults)
    return labels


def _check_window(text: str) -> str:
    parse_window(text)
    return text


def _check_reference(text: str) -> str:
    parse_app_reference(text)
    return text


@dataclass(frozen=True, slots=True)
class AppDocument:
    """An app, with what an app file says."""

    name: str
    version: str
    spec: AppSpec

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"


class NodeDocument(Part):
    """What operators declare of a node that is there; what is left out stays as it is."""

    node: Name
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] | None = None
    """All that it has."""
    cordoned: StrictBool | None = None
    windows: tuple[Annotated[str, AfterValidator(_check_window)], ...] | None = None
    """All that it has; an empty list: changes wait for none."""


class InstanceDocument(Part):
    """An instance on its node."""

    instance: InstanceId
    app: Annotated[str, AfterValidator(_check_reference)]
    """`NAME:VERSION`."""
    node: Name
    goal: Literal["start", "stop"] = "start"


Document = AppDocument | NodeDocument | InstanceDocument


def read_document(value: object) -> Document:
    """What a document says.

    Raises:
        InvalidInput: it is none; with every fault.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput([Fault("", f"is no document: it has one of {', '.join(KINDS)}")])
    kinds = [kind for kind in KINDS if kind in value]
    if "instance" in kinds:  # these have fields of the same names
        kinds = ["instance"]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise InvalidInput([Fault("", f"has {found} of the fields {', '.join(KINDS)}, and must have one")])
    if kinds == ["node"]:
        return NodeDocument.checked(value)
    if kinds == ["instance"]:
        return InstanceDocument.checked(value)
    return _read_app(value)


def _read_app(value: Mapping[Any, Any]) -> AppDocument:
    faults: list[Fault] = []
    name = version = ""
    text = value["app"]
    try:
        if not isinstance(text, str):
            raise ValueError(f"{quoted(text)} is no app: write NAME:VERSION")
        name, version = parse_app_reference(text)
    except ValueError as problem:
        faults.append(Fault("app", str(problem)))
    try:
        spec = AppSpec.checked({key: each for key, each in value.items() if key != "app"})
    except InvalidInput as refused:
        raise InvalidInput([*faults, *refused.faults]) from None
    if faults:
        raise InvalidInput(faults)
    return AppDocument(name, version, spec)


def document_of(record: App | Node | Instance) -> dict[str, Any]:
    """The document that says what a record says: applied, it changes nothing."""
    match record:
        case App():
            spec = record.spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
            return {"app": record.reference, **spec}
        case Node():
            return {
                "node": record.name,
                "labels": dict(record.labels),
                "cordoned": record.cordoned is not None or record.drained is not None,
                "windows": list(record.windows),
            }
        case Instance():
            return {
                "instance": record.id, "app": str(record.app), "node": record.node, "goal": record.goal
            }  # fmt: skip
