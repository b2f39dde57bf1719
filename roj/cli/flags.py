"""What the flags of `roj create` mean: ports, environment variables, labels, and files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from roj.api.faults import Fault, InvalidInput, quoted
from roj.api.names import is_text

_PORT = re.compile(
    r"(?:(?P<name>[^=:/]+)=)?(?P<container>[0-9]{1,9})(?::(?P<host>[0-9]{1,9}))?(?:/(?P<protocol>[a-z]+))?"
)
_NUMBER = re.compile(r"[0-9]{1,9}")
_PORT_WORDS = ("container", "host", "protocol", "name")


def port_of(text: str) -> dict[str, Any]:
    """A port as an app file has it, from `[NAME=]CONTAINER[:HOST][/tcp|udp]` or `container=80,host=8080`.

    Raises:
        ValueError: it is neither.
    """
    if text.partition("=")[0] in _PORT_WORDS and ("," in text or text.startswith("container=")):
        fields: dict[str, Any] = {}
        for part in text.split(","):
            word, _, value = part.partition("=")
            if word not in _PORT_WORDS or not value or word in fields:
                raise ValueError(
                    f"{quoted(text)}: write container=80,host=8080, with protocol= and name= if need be"
                )
            number = word in ("container", "host") and _NUMBER.fullmatch(value)
            fields[word] = int(value) if number else value
        return fields
    found = _PORT.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no port: write [NAME=]CONTAINER[:HOST][/tcp|udp], as in 80:8080")
    return {
        word: int(value) if word in ("container", "host") else value
        for word, value in found.groupdict().items()
        if value is not None
    }


def pairs_of(flag: str, texts: Iterable[str], faults: list[Fault]) -> dict[str, str]:
    """`K=V` by key; what is none is added to `faults`."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            faults.append(Fault(flag, f"{quoted(text)}: write K=V"))
        elif not is_text(key):
            faults.append(Fault(flag, f"{quoted(key)} is no text in UTF-8"))
        elif key in pairs:
            faults.append(Fault(flag, f"{key} is given twice"))
        else:
            pairs[key] = value
    return pairs


def taken(flag: str, read: Callable[[str], Any], texts: Iterable[str], faults: list[Fault]) -> list[Any]:
    """Each text read by `read`; what is refused is added to `faults`."""
    found = []
    for text in texts:
        try:
            found.append(read(text))
        except ValueError as problem:
            faults.append(Fault(flag, str(problem)))
    return found


MAX_FILE = 1_000_000
"""Bytes of an app file. The app itself may have 350,000; the rest is for comments."""

_TEXTS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
"""What YAML 1.1 takes for more than a text."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


_MERGE = "tag:yaml.org,2002:merge"
MAX_MERGES = 100
"""Mappings that one mapping takes in (`<<: [*a, *b]`)."""
MAX_MERGED = 200_000
"""Keys of a file, those that are merged counted wherever they are."""


class _Loader(yaml.SafeLoader):
    """YAML whose `faults` has the keys that stand twice, and in which only `true` and `false` are no texts:
    `ON: yes` is an environment variable and its value, as in YAML 1.2, and a day or 12:30 is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML declares it so)
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in _TEXTS or (first in "tTfF" and not tag.endswith("timestamp"))
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str, place: str, faults: list[Fault]) -> None:
        super().__init__(text)
        self._place = place
        self._faults = faults
        self._read: dict[int, yaml.MappingNode] = {}
        self._merged = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML's stubs have no types for it
        # To YAML 1.1 12:30 is 750.
        sixties = tag in _NUMBERS and isinstance(value, str) and ":" in value
        return "tag:yaml.org,2002:str" if sixties else tag

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Puts in what `<<: *other` merges; before that, once, keys that stand twice are told."""
        if id(node) not in self._read:
            self._read[id(node)] = node
            self._tell_what_stands_twice(node)
        super().flatten_mapping(node)
        # One of each key, the last, is left: what is merged again and again would grow beyond all bounds.
        kept = {_key_of(key): (key, value) for key, value in node.value}
        node.value = list(kept.values())
        self._merged += len(node.value)
        if self._merged > MAX_MERGED:
            raise yaml.constructor.ConstructorError(None, None, "too much is merged", node.start_mark)

    def _tell_what_stands_twice(self, node: yaml.MappingNode) -> None:
        seen: dict[Hashable, None] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                if isinstance(value_node, yaml.SequenceNode) and len(value_node.value) > MAX_MERGES:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"more than {MAX_MERGES} mappings are merged", key_node.start_mark
                    )
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # `construct_mapping` says so
            if key in seen:
                where = _where(key_node.start_mark)
                self._faults.append(Fault(self._place, f"{where}the key {quoted(key)} stands twice"))
            seen[key] = None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        _drop_what_is_no_text(mapping, self._place, self._faults)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ):  # `!!int x`: what Python says of it is no help
            kind = node.tag.rpartition(":")[2]
            problem = f"{quoted(node.value)} is no {kind}" if isinstance(node.value, str) else f"is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _key_of(node: yaml.Node) -> Hashable:
    """What tells keys of a mapping apart; one that is no scalar is like no other."""
    return (node.tag, node.value) if isinstance(node, yaml.ScalarNode) else id(node)


def _drop_what_is_no_text(mapping: dict[Any, Any], place: str, faults: list[Fault]) -> None:
    """Half a character as a key (`"\\ud800"`) is told here and goes no further: no place of a fault could have it."""
    for key in [key for key in mapping if isinstance(key, str) and not is_text(key)]:
        faults.append(Fault(place, f"the key {quoted(key)} is no text in UTF-8"))
        del mapping[key]


def _where(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: "


def file_content(path: str, faults: list[Fault], hint: str = "`roj create --help` shows an app file") -> Any:
    """What a YAML or JSON file says; `-` is stdin. Keys that stand twice are added to `faults`; the last one counts.

    `hint`: what is told of an empty one.

    Raises:
        InvalidInput: it cannot be read, is neither, or is empty.
    """
    place = place_of(path)
    content = parsed(_text_of(path), place, faults)
    if content is None:
        raise _refused(place, f"is empty; {hint}")
    return content


def file_documents(path: str, faults: list[Fault]) -> list[Any]:
    """The documents of a YAML file, those between `---`, or of a JSON file, which is one or a list of them.

    Raises:
        InvalidInput: it cannot be read, or is neither.
    """
    documents = _parsed(_text_of(path), place_of(path), faults, _every)
    if len(documents) == 1 and isinstance(documents[0], list):
        return list(documents[0])
    return [document for document in documents if document is not None]


def place_of(path: str) -> str:
    """What a file is called in faults."""
    return "stdin" if path == "-" else path


def _text_of(path: str) -> str:
    place = place_of(path)
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_FILE + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise _refused(place, f"is no text in UTF-8: byte {problem.start + 1} is none of one") from None
    except (OSError, ValueError) as problem:
        raise _refused(place, f"cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    if len(data) > MAX_FILE:
        raise _refused(place, f"is too large: {MAX_FILE:,} bytes is the most")
    return text


def parsed(text: str, place: str, faults: list[Fault]) -> Any:
    """What a text in YAML or JSON says; None where it says nothing. Keys that stand twice are added to `faults`.

    Raises:
        InvalidInput: it is neither.
    """
    return _parsed(text, place, faults, lambda loader: [loader.get_single_data()])[0]


def _every(loader: _Loader) -> list[Any]:
    found = []
    while loader.check_data():  # type: ignore[no-untyped-call]  # PyYAML's stubs have no types for it
        found.append(loader.get_data())
    return found


def _parsed(text: str, place: str, faults: list[Fault], read: Callable[[_Loader], list[Any]]) -> list[Any]:
    """The documents of a text: of JSON there is one, of YAML what `read` gets."""
    try:
        try:
            return [_from_json(text, place, faults)]
        except ValueError:
            loader = _Loader(text, place, faults)
            try:
                return read(loader)
            finally:
                loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        raise _refused(place, f"{_where(mark) if mark else ''}{problem.problem or problem}") from None
    except yaml.reader.ReaderError as problem:
        letter = f"the character U+{problem.character:04X}"
        raise _refused(
            place, f"is neither YAML nor JSON: {letter} at {problem.position + 1} must not be"
        ) from None
    except RecursionError:
        raise _refused(place, "is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError):
        raise _refused(place, "is neither YAML nor JSON") from None


def _from_json(text: str, place: str, faults: list[Fault]) -> Any:
    """JSON is read as JSON: as YAML it may have no tabs, and other escapes mean other characters."""
    found: list[Fault] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                found.append(Fault(place, f"the key {quoted(key)} stands twice"))
            seen[key] = value
        _drop_what_is_no_text(seen, place, found)
        return seen

    content = json.loads(text, object_pairs_hook=once)
    faults += found
    return content


def _refused(place: str, problem: str) -> InvalidInput:
    return InvalidInput([Fault(place, problem)])
