"""Files of documents, as `roj apply` and `roj plan` read them and `roj export` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from roj.api.document import AppDocument, Document, InstanceDocument, NodeDocument, read_document
from roj.api.faults import Fault, InvalidInput
from roj.cli.context import Function
from roj.cli.flags import file_documents, place_of
from roj.client.applying import Placed, Step

SUFFIXES = (".yaml", ".yml", ".json")
"""What is read of a directory."""


def files_option(*, required: bool) -> Callable[[Function], Function]:
    """Adds `-f`, passed on as `files`."""

    def add(function: Function) -> Function:
        return click.option(
            "-f", "--file", "files", metavar="FILE|DIR", multiple=True, required=required,
            help="Documents in YAML or JSON; of a directory every .yaml, .yml and .json in it; - is stdin.",
        )(function)  # fmt: skip

    return add


def read_files(paths: Sequence[str]) -> list[Placed]:
    """Every document of the files.

    Raises:
        InvalidInput: with every fault of every document: its file, the document's number, and the place in it.
    """
    faults: list[Fault] = []
    documents: list[Placed] = []
    for path in _files(paths, faults):
        try:
            found = file_documents(path, faults)
        except InvalidInput as refused:
            faults += refused.faults
            continue
        for number, value in enumerate(found, start=1):
            place = f"{place_of(path)}, document {number}"
            try:
                documents.append(Placed(place, read_document(value)))
            except InvalidInput as refused:
                faults += [_within(place, fault) for fault in refused.faults]
        if not found:
            faults.append(Fault(place_of(path), "has no documents; `roj apply --help` shows some"))
    faults += _twice(documents)
    if faults:
        raise InvalidInput(faults)
    return documents


def name_of(document: Document) -> str:
    """`app web:v1`."""
    match document:
        case AppDocument():
            return f"app {document.reference}"
        case NodeDocument():
            return f"node {document.node}"
        case InstanceDocument():
            return f"instance {document.instance}"


def _files(paths: Sequence[str], faults: list[Fault]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if path == "-" or not Path(path).is_dir():
            found.append(path)
            continue
        within = sorted(
            str(each) for each in Path(path).iterdir() if each.suffix in SUFFIXES and each.is_file()
        )
        if not within:
            faults.append(Fault(path, f"has no file of documents ({', '.join(SUFFIXES)})"))
        found += within
    return list(dict.fromkeys(found))


def _within(place: str, fault: Fault) -> Fault:
    return Fault(f"{place}: {fault.place}" if fault.place else place, fault.problem)


def _twice(documents: Iterable[Placed]) -> list[Fault]:
    first: dict[str, str] = {}
    faults = []
    for placed in documents:
        name = name_of(placed.document)
        if name in first:
            faults.append(Fault(placed.place, f"{name} is in {first[name]} already"))
        first.setdefault(name, placed.place)
    return faults


def step_fields(step: Step) -> dict[str, Any]:
    """A step as JSON has it."""
    return {
        "kind": step.kind, "name": step.name, "action": step.action, "changes": list(step.changes), "place": step.place
    }  # fmt: skip


def step_words(step: Step, *, would: bool) -> str:
    """`instance web-1: app web:v1 -> web:v2`."""
    what = "; ".join(step.changes)
    if step.action == "none":
        return f"{step.kind} {step.name} is so already"
    be = "would be" if would else "is"
    words = {
        "create": "created",
        "change": "changed",
        "undeploy": "to be removed" if not would else "removed",
    }
    return f"{step.kind} {step.name} {be} {words[step.action]}" + (f": {what}" if what else "")


def as_yaml_documents(documents: Iterable[dict[str, Any]]) -> str:
    """The documents as YAML, with `---` between two; as they are read, they are the same."""
    return "---\n".join(as_one(document) for document in documents)


def as_one(document: dict[str, Any]) -> str:
    """One of them."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts with anything but printable characters are quoted with escapes: plain ones lose a U+0085."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = None if value.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
