"""A parsed file of others, read with care: any value may stand anywhere, and each has its place in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roj.api.faults import Fault, InvalidInput, quoted
from roj.importers.notes import Notes, Refused

MAX_NODES = 50_000
"""Values in a file, those that aliases (`*name`) repeat counted each time: a few lines of them can mean billions."""
MAX_DEPTH = 50
Scalar = str | int | float | bool | None
Expand = Callable[[str, str], str]
"""The text, with its variables' values in it, and its place. Raises Refused."""


def step(place: str, key: str | int) -> str:
    """The place of what stands under `key` at `place`."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    key = key or '""'
    return f"{place}.{key}" if place else key


def tree_of(document: object, place: str) -> object:
    """`document` as a tree of mappings, lists and scalars: every key a text, aliases followed.

    Raises:
        InvalidInput: it is too large, nested too deeply, or has values of another kind.
    """
    left = MAX_NODES

    def copied(value: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise InvalidInput([Fault(place, f"has more than {MAX_NODES:,} values, aliases followed")])
        if depth > MAX_DEPTH:
            raise InvalidInput([Fault(place, "is nested too deeply")])
        if isinstance(value, dict):
            return {_key(key, place): copied(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list):
            return [copied(each, depth + 1) for each in value]
        if value is None or isinstance(value, str | int | float):
            return value
        raise InvalidInput([Fault(place, f"has a value that is of no use here: {quoted(value)}")])

    return copied(document, 0)


def _key(key: object, place: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float):
        return written(key)
    raise InvalidInput([Fault(place, f"{quoted(key)} is no key: write a text")])


def leaves(tree: object, place: str = "") -> Iterator[str]:
    """The places of all values that have none below them."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, step(place, key))
    elif isinstance(tree, list) and tree:
        for at, value in enumerate(tree):
            yield from leaves(value, step(place, at))
    else:
        yield place


def written(value: Scalar) -> str:
    """A scalar as a text: `true` for True."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}" if abs(value) < 10**20 else quoted(value)
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 10**15 else f"{value!r}"
    return value or ""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file, and where it stands."""

    value: object
    place: str
    expand: Expand | None = None
    """What puts the values of variables into texts."""

    def refusal(self, words: str) -> Refused:
        return Refused(self.place, words)

    def at(self, key: str | int, value: object) -> Node:
        return Node(value, step(self.place, key), self.expand)

    def scalar(self) -> Scalar:
        if isinstance(self.value, str):
            return self.expand(self.value, self.place) if self.expand else self.value
        if self.value is None or isinstance(self.value, int | float):
            return self.value
        raise self.refusal(f"is to be one value, and is a {'mapping' if self.is_mapping else 'list'}")

    def text(self) -> str:
        value = self.scalar()
        if value is None:
            raise self.refusal("is empty")
        return written(value)

    def whole(self) -> int:
        value = self.scalar()
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip(), re.ASCII):
            return int(value)
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refusal(f"is to be a whole number, and is {quoted(value)}")
        return value

    def number(self) -> float:
        value = self.scalar()
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise self.refusal(f"is to be a number, and is {quoted(value)}")
        return number

    def flag(self) -> bool:
        value = self.scalar()
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off"):
            return value.lower() in ("true", "yes", "on")
        if not isinstance(value, bool):
            raise self.refusal(f"is to be true or false, and is {quoted(value)}")
        return value

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def is_nothing(self) -> bool:
        """Whether it says no more than if it were left out: `false`, an empty list."""
        if isinstance(self.value, str):
            return self.scalar() in ("", "false")
        return self.value is None or self.value is False or self.value in ([], {})

    def items(self) -> list[Node]:
        """The nodes of a list; one value that is no list counts as a list of it."""
        if self.is_mapping:
            raise self.refusal("is to be a list, and is a mapping")
        listed = self.value if isinstance(self.value, list) else [self.value]
        if not self.is_list:
            return [self]
        return [self.at(at, value) for at, value in enumerate(listed)]

    def entries(self) -> dict[str, Node]:
        """The nodes of a mapping, by key."""
        if not isinstance(self.value, dict):
            raise self.refusal("is to be a mapping of keys to values")
        return {key: self.at(key, value) for key, value in self.value.items()}

    def pairs(self, notes: Notes) -> list[tuple[str, str | None, str]]:
        """Key, value and place of a mapping, or of a list of `KEY=VALUE`; None: without a value."""
        found: list[tuple[str, str | None, str]] = []
        if self.is_mapping:
            for key, node in self.entries().items():
                with notes.reading(node.place):
                    value = node.scalar()
                    found.append((key, None if value is None else written(value), node.place))
            return found
        for node in self.items():
            with notes.reading(node.place):
                key, equals, text = node.text().partition("=")
                found.append((key, text if equals else None, node.place))
        return found
