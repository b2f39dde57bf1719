"""`roj events`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import click

from roj.cli.context import opened_store, say, settings_of, store_option
from roj.cli.output import GAP, Column, Table, as_yaml, output_option, show_list, time_of, write
from roj.client.event_view import events as read_events
from roj.client.event_view import follow as follow_events
from roj.client.rows import EventRow


@click.command()
@click.argument("reference", metavar="[REF]", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what happens, until Ctrl-C.")
@output_option
@store_option
@click.pass_context
def events(context: click.Context, reference: str, follow: bool, output: str) -> None:
    """List what happened, oldest first: all, or what concerns REF: a node, an app, an instance (its id or NODE/ID).

    A node keeps its last 500 events; what repeats is one event with a count. What operators did that no record tells of
    (an app removed, a store restored) is there too, the last 500 of it. Of what is neither there nor in any event: 4.

    \b
    roj events web-ixbix
    roj events node1 -f
    roj events web:v1 -o json

    \b
    JSON: a list of {time, node, instance, app, reason, message, count, type, first, who, why, uid, sequence};
    with -f one object a line.
    """
    environment = settings_of(context).the_environment()
    table = event_table()
    with opened_store(context) as store:
        if not follow:
            nothing = f"There are no events of {reference}." if reference else "There are no events yet."
            show_list(table, read_events(store, reference), output, nothing)
            return
        printer = _Printer(table, output)
        gone = "The store does not answer; events go on when it does."
        for rows in follow_events(store, environment, reference, lambda error: say(f"{gone} ({error})")):
            printer.show(rows)


def event_table() -> Table[EventRow]:
    """How events are printed."""
    return Table(
        columns=(
            Column("TIME", lambda row: _second(row.event.last) if row.event else ""),
            Column("NODE", lambda row: row.node),
            Column("INSTANCE", lambda row: row.event.instance if row.event else ""),
            Column("APP", lambda row: row.event.app if row.event else "", wide=True),
            Column("REASON", reason, style=lambda row: "yellow" if is_warning(row) else ""),
            Column("COUNT", lambda row: str(row.event.count) if row.event else ""),
            Column("TYPE", lambda row: row.event.type if row.event else "", wide=True),
            Column("FIRST", lambda row: _second(row.event.first) if row.event else "", wide=True),
            Column("SEQUENCE", lambda row: str(row.event.sequence) if row.event else "", wide=True),
            Column("UID", lambda row: row.event.uid if row.event else "", wide=True),
            Column("MESSAGE", lambda row: row.message, folds=True),
        ),
        fields=event_fields,
        name=lambda row: row.name,
    )


def reason(row: EventRow) -> str:
    """The event's reason; `RecordUnreadable` where it is not known."""
    return row.event.reason if row.event is not None else "RecordUnreadable"


def is_warning(row: EventRow) -> bool:
    """Whether somebody may have to do something."""
    return row.event is None or row.event.type == "Warning"


def _second(moment: datetime) -> str:
    text = time_of(moment) or ""
    return text[:19] + "Z"


def event_fields(row: EventRow) -> dict[str, Any]:
    """An event as JSON has it."""
    event = row.event
    return {
        "time": time_of(event.last if event else None),
        "node": row.node,
        "instance": event.instance if event else "",
        "app": event.app if event else "",
        "reason": reason(row),
        "message": row.message,
        "count": event.count if event else 1,
        "type": "Warning" if is_warning(row) else "Normal",
        "first": time_of(event.first if event else None),
        "who": event.who if event else "",
        "why": event.why if event else "",
        "uid": event.uid if event else "",
        "sequence": event.sequence if event else None,
    }


class _Printer:
    """Prints events as they come: columns keep the widths that they have, and only grow."""

    def __init__(self, table: Table[EventRow], output: str) -> None:
        self._table = table
        self._output = output
        self._widths: list[int] = []

    def show(self, rows: list[EventRow]) -> None:
        """Print `rows` and let them be seen at once."""
        if self._output == "json":
            write("".join(json.dumps(self._table.fields(row)) + "\n" for row in rows))
        elif self._output == "yaml":
            write("".join("---\n" + as_yaml(dict(self._table.fields(row))) for row in rows))
        elif self._output == "name":
            write("".join(f"{self._table.name(row)}\n" for row in rows))
        elif rows:
            self._show_table(rows)
        sys.stdout.flush()

    def _show_table(self, rows: list[EventRow]) -> None:
        columns, cells = self._table.cells(rows, wide=self._output == "wide")
        titles = [column.title for column in columns]
        first = not self._widths
        lines = cells if not first else [titles, *cells]
        before = self._widths or [0] * len(columns)
        self._widths = [
            max([width, *map(len, column)])
            for width, column in zip(before, zip(*lines, strict=True), strict=True)
        ]
        for line in lines:
            padded = [text.ljust(width) for text, width in zip(line[:-1], self._widths, strict=False)]
            write(GAP.join([*padded, line[-1]]) + "\n")
