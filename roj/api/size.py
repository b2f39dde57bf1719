"""Sizes in bytes as people write them: `256MiB`, `1g`, or plain bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from roj.api.faults import quoted

_FORM = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,6}))? ?([kmgt]?)(i?b)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_size(text: str) -> int:
    """Bytes. A unit counts by 1024, as Docker has it (`docker run --memory`): `m`, `MB` and `MiB` are one.

    Raises:
        ValueError: it is no size.
    """
    if text.strip() == "-1":  # where a field takes it: no limit
        return -1
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{quoted(text)} is no size: write it as 256MiB, 1g or in bytes")
    number = float(f"{form[1]}.{form[2]}") if form[2] else int(form[1])
    return int(number * _UNITS[form[3].lower()])


def format_size(size: int) -> str:
    """The shortest way to write it that `parse_size` reads back: `256MiB`."""
    for unit in ("t", "g", "m", "k"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit.upper()}iB"
    return f"{size}"


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["256MiB", "1g"]}),
]
"""Bytes; written as people write them, in files and in the store."""
