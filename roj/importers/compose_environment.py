"""Environment and labels of a Compose service, in the file and in files beside it."""

from __future__ import annotations

from roj.api.faults import quoted
from roj.importers.compose_project import Service
from roj.importers.compose_values import path_of
from roj.importers.interpolation import env_file as lines_of
from roj.importers.reading import Node


def environment(service: Service, node: Node) -> None:
    for key, value, place in node.pairs(service.notes):
        if value is not None:
            service.draft.put("env", key, value, place)
        elif key in service.project.known:
            service.draft.put("env", key, service.project.known[key], place, f"has the value of {key} here")
        else:
            service.draft.fields.get("env", {}).pop(key, None)  # so Compose takes one of env_file away
            service.notes.changed(place, f"left out: {key} is not set here, as Compose has it")


def env_file(service: Service, node: Node) -> None:
    for item in [node] if node.is_mapping else node.items():
        with service.notes.reading(item.place):
            _one_env_file(service, item)


def _one_env_file(service: Service, node: Node) -> None:
    path, required, raw = node, True, False
    if node.is_mapping:
        entries = node.entries()
        if unknown := entries.keys() - {"path", "required", "format"}:
            raise node.refusal(f"{quoted(min(unknown))} is not known here")
        if "path" not in entries:
            raise node.refusal("has no path")
        path = entries["path"]
        required = entries["required"].flag() if "required" in entries else True
        raw = "format" in entries and entries["format"].text() == "raw"
    text = _text_of(service, path, required)
    if text is None:
        service.notes.changed(node.place, "left out: there is no such file, and it need not be")
        return
    for key, value in lines_of(text, path.place, service.notes, service.project.known, raw=raw).items():
        service.draft.put("env", key, value, node.place, "its lines are taken into env as they are now")
    service.notes.changed(node.place, "its lines are taken into env as they are now")


def _text_of(service: Service, node: Node, required: bool) -> str | None:
    around = service.project.around
    path = path_of(node, node.text(), around.directory, around.variables.get("HOME"))
    try:
        return around.read(path)
    except (OSError, ValueError) as problem:
        if not required and isinstance(problem, FileNotFoundError):
            return None
        why = getattr(problem, "strerror", None) or "is no text in UTF-8"
        raise node.refusal(f"{quoted(path)} cannot be read: {why}") from None


def labels(service: Service, node: Node) -> None:
    for key, value, place in node.pairs(service.notes):
        service.draft.put("labels", key, value or "", place)


def label_file(service: Service, node: Node) -> None:
    for item in node.items():
        with service.notes.reading(item.place):
            text = _text_of(service, item, True) or ""
            for key, value in lines_of(text, item.place, service.notes, service.project.known).items():
                service.draft.put("labels", key, value, item.place, "its lines are taken as they are now")
