"""Durations as people write them: `500ms`, `60s`, `2m`, `1h30m`, or plain seconds."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from roj.api.faults import quoted

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""In milliseconds, so that 71ms is 0.071 and not a hair more."""
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_SECONDS = re.compile(_NUMBER)
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_PARTS = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d))+")
_FORMS = "write it as 500ms, 60s, 2m, 1h30m or in seconds"
LONGEST = 3650 * 86400.0
"""Seconds. Beyond some hundred years threads cannot wait, nor dates be told."""


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: it is no duration, or longer than LONGEST.
    """
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif len(text) <= 100 and _PARTS.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)) / 1000
    else:
        raise ValueError(f"{quoted(text)} is no duration: {_FORMS}")
    if seconds > LONGEST:
        raise ValueError(f"{quoted(text)} is too long: {LONGEST / 86400:.0f}d is the most")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest way to write it that `parse_duration` reads back: `1h30m`, `90s` as `1m30s`, `500ms`."""
    thousandths = round(seconds * 1000)
    if thousandths / 1000 != seconds:
        return f"{seconds:f}s"
    words = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, thousandths = divmod(thousandths, size)
        words += f"{count}{unit}" if count else ""
    return words or "0s"


def _seconds(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise ValueError(f"is no duration: {_FORMS}")
    return value


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "number"], "examples": ["60s", "1h30m", "500ms"]}),
]
"""Seconds; written as people write them, in files and in the store."""
