"""Durations as people write them: `500ms`, `60s`, `2m`, `1h30m`, or plain seconds."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: it is no duration.
    """
    try:
        seconds = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(
                f"{text!r} is no duration: write it as 500ms, 60s, 2m, 1h30m or in seconds"
            ) from None
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{text!r} is no duration: it is 0 or more, and has an end")
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
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[
    float, BeforeValidator(_seconds), PlainSerializer(format_duration, return_type=str, when_used="json")
]
"""Seconds; written as people write them, in files and in the store."""
