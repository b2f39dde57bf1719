"""What the flags of `roj create` mean: ports, environment variables, labels, and files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from roj.api.faults import Fault, InvalidInput

_PORT = re.compile(r"(?:(?P<name>[^=:/]+)=)?(?P<container>\d+)(?::(?P<host>\d+))?(?:/(?P<protocol>[a-z]+))?")
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
                    f"{text!r}: write container=80,host=8080, with protocol= and name= if need be"
                )
            fields[word] = int(value) if word in ("container", "host") and value.isdecimal() else value
        return fields
    found = _PORT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no port: write [NAME=]CONTAINER[:HOST][/tcp|udp], as in 80:8080")
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
            faults.append(Fault(flag, f"{text!r}: write K=V"))
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


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once, and in which only `true` and `false` are no texts: `ON: yes` is an environment
    variable and its value, as in YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML declares it so)
        first: [
            (tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, None] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen[key] = None
        return super().construct_mapping(node, deep=deep)


def file_content(path: str) -> Any:
    """What a YAML or JSON file says; `-` is stdin.

    Raises:
        InvalidInput: it cannot be read, is neither, is empty, or has a key twice.
    """
    place = "stdin" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInput(
            [Fault(place, f"cannot be read: {getattr(problem, 'strerror', None) or problem}")]
        ) from None
    content = parsed(text, place)
    if content is None:
        raise InvalidInput([Fault(place, "is empty; `roj create --help` shows an app file")])
    return content


def parsed(text: str, place: str) -> Any:
    """What a text in YAML or JSON says; None where it says nothing. Raises InvalidInput."""
    try:
        return _from_json(text, place)
    except ValueError as problem:
        if isinstance(problem, InvalidInput):
            raise
    except RecursionError:
        raise InvalidInput([Fault(place, "is nested too deeply")]) from None
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise InvalidInput([Fault(place, f"{where}{problem.problem or problem}")]) from None
    except RecursionError:
        raise InvalidInput([Fault(place, "is nested too deeply")]) from None
    except (yaml.YAMLError, ValueError, TypeError) as problem:
        words = " ".join(str(problem).split())
        raise InvalidInput([Fault(place, f"is neither YAML nor JSON: {words}")]) from None


def _from_json(text: str, place: str) -> Any:
    """JSON is read as JSON: as YAML it may have no tabs, and other escapes mean other characters."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise InvalidInput([Fault(place, f"the key {key!r} stands twice")])
            seen[key] = value
        return seen

    return json.loads(text, object_pairs_hook=once)
