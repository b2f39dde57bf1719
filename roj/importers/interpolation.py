"""Variables in a Compose file, as Compose has them: `$NAME`, `${NAME:-default}`, `${NAME:?why}`, `${NAME:+other}`, `$$`.

What is no such form stays as it is written. See "Interpolation" of the Compose specification; the shell-style libraries
differ from it in what `$$` and a backslash mean.
"""

from __future__ import annotations

import io
import re
from collections import ChainMap
from collections.abc import Mapping

from roj.api.faults import quoted
from roj.importers.notes import Notes, Refused

_START = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))", re.ASCII)
_BRACED = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<empty>:?)(?P<sign>[-?+])(?P<rest>.*))?", re.ASCII | re.S
)
_BRACE = re.compile(r"\$\{|\}")
_DEPTH = 10
_LONGEST = 1_000_000
"""Letters of a text with its variables' values in it."""


class Variables:
    """The variables that a file may name, with their values."""

    def __init__(self, known: Mapping[str, str], notes: Notes) -> None:
        self.known = known
        self._notes = notes

    def expand(self, text: str, place: str) -> str:
        """`text` with the variables' values in it; one that is not set is an empty text, and told.

        Raises:
            Refused: it is no template, or a variable must be set and is not.
        """
        return self._expanded(text, place, 0) if "$" in text else text

    def _expanded(self, text: str, place: str, depth: int) -> str:
        if depth > _DEPTH:
            raise Refused(place, f"variables are nested more than {_DEPTH} deep")
        parts: list[str] = []
        at = length = 0
        while found := _START.search(text, at):
            parts.append(text[at : found.start()])
            at = found.end()
            if found["dollar"]:
                parts.append("$")
            elif found["name"]:
                parts.append(self._value(found["name"], place))
            else:
                end = _closing(text, at)
                if end is None:
                    raise Refused(place, f"{quoted(text[at - 2 :])} is no variable: its brace is not closed")
                parts.append(self._braced(text[at:end], place, depth))
                at = end + 1
            length += len(parts[-1])
            if length > _LONGEST:
                raise Refused(place, "becomes too long with its variables' values")
        return "".join(parts) + text[at:]

    def _value(self, name: str, place: str) -> str:
        if name not in self.known:
            self._notes.changed(place, f"{name} is not set: an empty text takes its place, as Compose has it")
        return self.known.get(name, "")

    def _braced(self, form: str, place: str, depth: int) -> str:
        found = _BRACED.fullmatch(form)
        if found is None:
            raise Refused(
                place, f"{quoted('${' + form + '}')} is no variable: write ${{NAME}}; a dollar is $$"
            )
        name, sign = found["name"], found["sign"]
        if sign is None:
            return self._value(name, place)
        value = self.known.get(name)
        there = bool(value) if found["empty"] else value is not None
        if sign == "+":
            return self._expanded(found["rest"], place, depth + 1) if there else ""
        if there:
            return value or ""
        rest = self._expanded(found["rest"], place, depth + 1)
        if sign == "?":
            raise Refused(place, f"the variable {name} must be set{': ' + quoted(rest) if rest else ''}")
        return rest


def _closing(text: str, at: int) -> int | None:
    """Where the brace closes that was opened before `at`, those of variables within it passed over."""
    opened = 1
    for brace in _BRACE.finditer(text, at):
        opened += -1 if brace[0] == "}" else 1
        if opened == 0:
            return brace.start()
    return None


def env_file(
    text: str, place: str, notes: Notes, known: Mapping[str, str], *, raw: bool = False
) -> dict[str, str]:
    """What a file of `NAME=VALUE` lines says; variables in values are expanded but for those in single quotes.

    A name without a value has that of `known`, and is left out where there is none. `raw`: a value is all behind the
    equals sign.

    Raises:
        Refused: a line is none of such.
    """
    from dotenv.parser import parse_stream

    if raw:
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return {name.strip(): value for name, _, value in (line.partition("=") for line in lines)}
    values: dict[str, str] = {}
    variables = Variables(ChainMap(dict(known), values), notes)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            line = quoted(binding.original.string.strip())
            raise Refused(place, f"line {binding.original.line} is not NAME=VALUE: {line}")
        if binding.key is None:
            continue
        value = known.get(binding.key) if binding.value is None else binding.value
        if value is None:
            continue
        literal = binding.original.string.partition("=")[2].lstrip().startswith("'")
        if not literal:
            value = variables.expand(value, place)
        values[binding.key] = value
    return values
