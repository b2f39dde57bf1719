"""Volumes of a Compose service: named ones, paths of the node, and memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

from roj.api.faults import quoted
from roj.importers.compose_project import Service
from roj.importers.compose_values import is_path, path_of
from roj.importers.reading import Node


def volumes(service: Service, node: Node) -> None:
    for item in node.items():
        with service.notes.reading(item.place):
            if item.is_mapping:
                _long_volume(service, item)
            else:
                _short_volume(service, item)


def _short_volume(service: Service, node: Node) -> None:
    text = node.text()
    parts = text.split(":")
    if len(parts) == 1:
        _volume(service, node, "", text, "")
        return
    if len(parts) > 3:
        raise node.refusal(f"{quoted(text)} is no volume: write SOURCE:TARGET[:ro]")
    flags = parts[2].split(",") if len(parts) == 3 else []
    without = [flag for flag in flags if flag in ("cached", "delegated", "consistent", "nocopy")]
    if "nocopy" in without:
        raise node.refusal("nocopy: roj's volumes begin with what the image has there")
    if wrong := [flag for flag in flags if flag not in ("ro", "rw", *without)]:
        raise node.refusal(f"{quoted(wrong[0])}: roj's volumes are ro or rw")
    words = f"{without[0]} is left out: it means something on a Mac only" if without else ""
    _volume(service, node, parts[0], parts[1], ":ro" if "ro" in flags else "", words)


def _long_volume(service: Service, node: Node) -> None:
    entries = node.entries()
    kind = entries["type"].text() if "type" in entries else "volume"
    known = {"type", "source", "target", "read_only", "consistency", kind}
    if unknown := entries.keys() - known:
        raise node.refusal(f"{quoted(min(unknown))} is not known here")
    if "target" not in entries:
        raise node.refusal("has no target")
    target = entries["target"].text()
    options = entries[kind].entries() if kind in entries and entries[kind].value is not None else {}
    if kind == "tmpfs":
        _tmpfs(service, node, target, options)
        return
    if kind not in ("bind", "volume"):
        raise node.refusal(f"{quoted(kind)}: roj mounts volumes, paths of the node, and memory")
    for key, option in options.items():
        if key == "create_host_path":
            if not option.flag():
                raise option.refusal("false: Docker makes a path that is not there")
        elif not option.is_nothing:
            raise option.refusal(f"roj's volumes have no {key}")
    source = entries["source"].text() if "source" in entries else ""
    if kind == "bind" and not is_path(source):
        source = f"./{source}"
    read_only = "read_only" in entries and entries["read_only"].flag()
    words = "consistency is left out: it means something on a Mac only" if "consistency" in entries else ""
    _volume(service, node, source, target, ":ro" if read_only else "", words)


def _tmpfs(service: Service, node: Node, target: str, options: Mapping[str, Node]) -> None:
    texts = []
    for key, option in options.items():
        if key not in ("size", "mode"):
            raise option.refusal("is not known here")
        texts.append(f"{key}={f'{option.whole():o}' if key == 'mode' else option.text()}")
    service.draft.add("tmpfs", f"{target}:{','.join(texts)}" if texts else target, node.place)


def _volume(  # noqa: PLR0917  (the parts of one mount)
    service: Service, node: Node, source: str, target: str, mode: str, words: str = ""
) -> None:
    target = target.rstrip("/") or "/"
    if not source:
        name = f"{service.project.name}_{service.name}" + re.sub(r"[^A-Za-z0-9_.-]", "_", target)
        words = f"named {name}: roj's volumes have names"
    elif is_path(source):
        around = service.project.around
        name = path_of(node, source, around.directory, around.variables.get("HOME"))
        if name != source:
            words = "; ".join(filter(None, (f"absolute: {name}, which each node must have", words)))
    else:
        name = service.project.volume(node, source)
        if name != source:
            words = "; ".join(filter(None, (f"named {name}, as Compose names it on the node", words)))
    service.draft.add("volumes", f"{name}:{target}{mode}", node.place, words)


def tmpfs(service: Service, node: Node) -> None:
    for item in node.items():
        with service.notes.reading(item.place):
            service.draft.add("tmpfs", item.text(), item.place)
