"""Lengths of time as people write them: `60s`, `2m`, `1h30m`, `500ms`, or plain seconds."""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ONE = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_WHOLE = re.compile(rf"(?:{_ONE})+", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
LONGEST = 366 * 86400.0
"""Seconds that a length of time may have: what is longer was not meant, and a wait of the operating system ends too."""


def parse_duration(text: str) -> float:
    """The length in seconds.

    Raises:
        ValueError: it is none, or longer than a year.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        seconds = float(text)
    elif _WHOLE.fullmatch(text):
        seconds = sum(float(number) * UNITS[unit] for number, unit in re.findall(_ONE, text))
    else:
        raise ValueError(f"{text!r} is no length of time: write 60s, 2m, 1h30m, 500ms, or plain seconds")
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is longer than a year")
    return seconds


def format_duration(seconds: float) -> str:
    """`seconds` as `parse_duration` takes it, to the millisecond: `1h30m`, `1m0.5s` is written `1m500ms`."""
    left = round(seconds * 1000)
    if left == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        length = round(UNITS[unit] * 1000)
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
