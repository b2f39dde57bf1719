"""Selectors of nodes by their labels, as Helios has them: `role=web,zone!=a,disk in (ssd,nvme),env notin (test)`.

All parts must hold. As in Helios, `!=` and `notin` want the label to be there; `role` alone asks for the label, `!role`
for its absence (kubectl's words).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from roj.api.faults import quoted
from roj.api.names import LABEL_KEY

Operator = Literal["in", "notin", "exists", "absent"]

VALUE = re.compile(r"[^\s,()=!]{0,253}")
"""A label's value that a selector can name."""
_WRITE = (
    "write it as role=web, zone!=a, disk in (ssd,nvme), env notin (test), role or !role, joined by commas"
)
_PART = re.compile(
    r"(?P<not>!)?\s*(?P<key>[^\s,()=!]+)\s*(?:(?P<sign>==?|!=)\s*(?P<value>[^\s,()=!]*)"
    r"|\s(?P<word>in|notin)\s*\((?P<values>[^()=!]*)\))?"
)
_COMMA = re.compile(r",(?![^()]*\))")
"""Between two parts, not within parentheses."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a selector."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds of a node with these labels."""
        match self.operator:
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels
            case "in":
                return self.key in labels and labels[self.key] in self.values
            case "notin":
                return self.key in labels and labels[self.key] not in self.values

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "absent":
                return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'in' else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which nodes are meant: those of which all parts hold."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels is meant."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """As `parse_selector` reads it."""
        return ",".join(map(str, self.requirements))


def parse_selector(text: str) -> Selector:
    """The selector that `text` writes.

    Raises:
        ValueError: it is none. An empty one is none, either: it would mean every node.
    """
    if not text.strip():
        raise ValueError(f"an empty selector would mean every node: {_WRITE}")
    return Selector(tuple(_requirement(part.strip(), text) for part in _COMMA.split(text)))


def check_label(key: str, value: str) -> None:
    """A label of a node, such that a selector can name it.

    Raises:
        ValueError: it is none.
    """
    if not LABEL_KEY.fullmatch(key):
        raise ValueError(
            f"{quoted(key)} is no key of a label: letters, digits, '.', '_', '/' and '-', "
            "with a letter or digit at both ends"
        )
    if not VALUE.fullmatch(value):
        raise ValueError(
            f"{quoted(value)} is no value of a label: at most 253 characters, without blanks, commas, parentheses, "
            "'=' and '!'"
        )


def _requirement(part: str, whole: str) -> Requirement:
    found = _PART.fullmatch(part)
    asked = found is not None and (found["sign"] is not None or found["word"] is not None)
    if found is None or (found["not"] and asked):
        raise ValueError(f"{quoted(part)} in the selector {quoted(whole)} is none: {_WRITE}")
    values = [found["value"]] if found["sign"] else []
    if found["word"]:
        values = [value.strip() for value in found["values"].split(",")]
    try:
        for value in values or [""]:
            check_label(found["key"], value)
    except ValueError as problem:
        raise ValueError(f"in the selector {quoted(whole)}: {problem}") from None
    if not asked:
        return Requirement(found["key"], "absent" if found["not"] else "exists")
    negative = found["sign"] == "!=" or found["word"] == "notin"
    return Requirement(found["key"], "notin" if negative else "in", tuple(dict.fromkeys(values)))
