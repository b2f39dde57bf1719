"""Data on stdout: tables for people, JSON and YAML for programs, names for pipes.

    table   aligned columns: by rich on a terminal, plain text when piped
    wide    the same with more columns
    json    one document; a list has one object a line
    yaml    the same as JSON
    name    one name a line, as other commands take it

A list that is empty says so on stderr; stdout then is empty, and `[]` as JSON or YAML.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import click

from roj.cli.context import Function, say

Form = Literal["table", "wide", "json", "yaml", "name"]
Fields = Mapping[str, Any]
Row = TypeVar("Row")

GAP = "  "
NOTHING = "-"
"""A cell with nothing in it: programs that split lines at blanks still count the columns right."""
STYLED_ROWS = 500
"""Rows that are styled; more are printed plain: styling takes some 0.1 ms a cell, and nobody reads that many."""
FOLDED = 24
"""Characters of a folding column that a terminal must have room for; else the terminal wraps whole lines."""


def output_option(function: Function) -> Function:
    """Adds `-o`, passed on as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "wide", "json", "yaml", "name"]),
        default="table",
        show_default=True,
        help="wide: more columns; json, yaml: for programs; name: one name a line, as other commands take it.",
    )(function)


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table."""

    title: str
    cell: Callable[[Row], str]
    wide: bool = False
    """Only with `-o wide`."""
    folds: bool = False
    """Text that may be folded on a terminal, where names and numbers are not."""
    style: Callable[[Row], str] | None = None
    """rich's style of the cell."""


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """How rows of one kind are printed in each form."""

    columns: tuple[Column[Row], ...]
    fields: Callable[[Row], Fields]
    """The row as JSON has it."""
    name: Callable[[Row], str]
    """The row's name, as other commands take it."""

    def cells(self, rows: Iterable[Row], *, wide: bool) -> tuple[list[Column[Row]], list[list[str]]]:
        """The columns that are shown, and the text of every row's cells."""
        columns = [column for column in self.columns if wide or not column.wide]
        return columns, [[one_line(column.cell(row)) or NOTHING for column in columns] for row in rows]


def show_list(table: Table[Row], rows: Sequence[Row], output: str, nothing: str = "") -> None:
    """Print `rows`; where there are none, `nothing` is told."""
    if output == "json":
        write(json_list(map(table.fields, rows)))
    elif output == "yaml":
        write(as_yaml([dict(table.fields(row)) for row in rows]))
    elif output == "name":
        write("".join(f"{table.name(row)}\n" for row in rows))
    elif rows:
        _show_table(table, rows, wide=output == "wide")
    if nothing and not rows:
        say(nothing)


def show_object(fields: Fields, output: str, name: str, text: str | None = None) -> None:
    """Print one object. `text` is its form for people; absent: YAML."""
    if output == "json":
        write(json.dumps(fields, indent=2) + "\n")
    elif output == "name":
        write(f"{name}\n")
    elif output == "yaml" or text is None:
        write(as_yaml(fields))
    else:
        write(text)


def write(text: str) -> None:
    """Write data to stdout."""
    sys.stdout.write(text)


def json_list(items: Iterable[Fields]) -> str:
    """A JSON list with one object a line: programs parse it, `grep` and `diff` find their way in it."""
    lines = [json.dumps(item) for item in items]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def as_yaml(value: object) -> str:
    """`value` as YAML, in the order it has."""
    import yaml

    text: str = yaml.dump(
        value,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return text


def plain(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text: a line of titles, then one a row; columns as wide as their widest cell, two blanks between."""
    lines = [titles, *rows]
    # The last column is not filled up: no line ends in blanks.
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    form = GAP.join([*(f"{{:<{width}}}" for width in widths), "{}"]) + "\n"
    return "".join([form.format(*line) for line in lines])


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: a message of Docker's may have both."""
    if text.isprintable():
        return text
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in one unit: `90s`, `5m`, `47h`, `3d`; empty for None, and `0s` for what lies ahead."""
    if since is None:
        return ""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, length, until in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86400}d"


def with_next_try(message: str, moment: datetime | None, now: datetime) -> str:
    """`message` and when the node tries again, as long as that is ahead: `no such image; next try 12:03:04`.

    The time of day is that of the reader's clock.
    """
    if moment is None or moment <= now:
        return message
    return "; ".join(part for part in (message, f"next try {moment.astimezone():%H:%M:%S}") if part)


def time_of(moment: datetime | None) -> str | None:
    """`moment` as JSON has it: RFC 3339 in UTC."""
    from roj.api.record import rfc3339

    return rfc3339(moment) if moment is not None else None


def pairs(values: Mapping[str, object]) -> str:
    """`a=1,b=2`, in the order of names."""
    return ",".join(f"{name}={values[name]}" for name in sorted(values))


def _show_table(table: Table[Row], rows: Sequence[Row], *, wide: bool) -> None:
    columns, cells = table.cells(rows, wide=wide)
    if sys.stdout.isatty() and len(rows) <= STYLED_ROWS:
        _show_styled(columns, rows, cells)
    else:
        write(plain([column.title for column in columns], cells))


def _show_styled(columns: list[Column[Row]], rows: Sequence[Row], cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table as Styled
    from rich.text import Text

    lengths = [
        max(map(len, [column.title, *texts]))
        for column, texts in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    least = [
        min(length, FOLDED) if column.folds else length
        for column, length in zip(columns, lengths, strict=True)
    ]
    needed = sum(least) + len(GAP) * (len(columns) - 1)
    width = max(needed, shutil.get_terminal_size().columns)
    styled = Styled(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for column in columns:
        styled.add_column(column.title, no_wrap=not column.folds, overflow="fold")
    for row, texts in zip(rows, cells, strict=True):
        styled.add_row(
            *(
                Text(text, style=column.style(row) if column.style else "")
                for column, text in zip(columns, texts, strict=True)
            )
        )
    # rich's own way with NO_COLOR keeps bold and dim, which are escape sequences too: without a colour system it writes
    # none. `soft_wrap` is not used: it would drop the folding of the message's column.
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    Console(width=width, highlight=False, color_system=colours).print(styled)
