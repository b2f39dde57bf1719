"""What is wrong with a value, in words for a person: pydantic's faults, each with its place.

pydantic's own messages speak of types of Python's; nobody who wrote an app file or a flag should meet one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from roj.api.faults import Fault, InvalidInput, quoted


def faults_of(error: ValidationError) -> tuple[Fault, ...]:
    """The faults that pydantic found, each with its place as a person would write it."""
    return tuple(
        fault for found in error.errors(include_url=False) for fault in _faults(found["loc"], dict(found))
    )


def _faults(location: tuple[int | str, ...], found: Mapping[str, Any]) -> Iterator[Fault]:
    refused = found.get("ctx", {}).get("error")
    if isinstance(refused, InvalidInput):  # a check of ours that looked at several parts
        for fault in refused.faults:
            yield fault.under(_place(location))
    elif found["type"] == "invalid_key":
        yield Fault(_place(location[:-1]), f"the key {location[-1]} is to be a text: put it in quotes")
    elif location[-1:] == ("[key]",):
        yield Fault(_place(location[:-2]), f"the key {location[-2]} is to be a text: put it in quotes")
    else:
        yield Fault(_place(location), _problem(found))


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for step in location:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    return place.removeprefix(".")


def _problem(found: Mapping[str, Any]) -> str:
    """One sentence, for each kind of fault that a record's fields can have."""
    kind, value, limits = found["type"], found["input"], found.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is missing"
        case _ if value is None:
            return "is empty: write something, or leave it out"
        case "value_error":
            return str(limits["error"])
        case "literal_error":
            return f"is {quoted(value)}: write {limits['expected'].replace(chr(39), '')}"
        case "too_short":
            return f"has {limits['actual_length']} entries: at least {limits['min_length']}"
        case "too_long":
            return f"has {limits['actual_length'] or 'too many'} entries: at most {limits['max_length']}"
        case "greater_than_equal":
            return f"is {quoted(value)}: {limits['ge']} is the least"
        case "less_than_equal":
            return f"is {quoted(value)}: {limits['le']} is the most"
        case "string_unicode":
            return "is no text in UTF-8"
        case "recursion_loop":
            return "contains itself"
    if kind == "string_type" and not isinstance(value, Mapping | list | tuple):
        return "is to be a text: put it in quotes"
    return f"is to be {_wanted(kind)}, and is {_is(value)}"


def _wanted(kind: str) -> str:
    """What pydantic wanted, by the name of its fault."""
    match kind.partition("_")[0]:
        case "string":
            return "a text"
        case "int":
            return "a whole number"
        case "tuple" | "list":
            return "a list"
        case "dict" | "model":
            return "a mapping of keys to values"
        case "bool":
            return "true or false"
        case "date" | "datetime" | "timezone":
            return "a time, as in 2026-11-22T08:00:00Z"
    return "something else"


def _is(value: object) -> str:
    match value:
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return f"the text {quoted(value)}"
        case bool() | int() | float():
            return quoted(value)
    return "of another kind"
