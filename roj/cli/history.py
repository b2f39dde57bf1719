"""`roj history`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from roj.cli.context import opened_store, settings_of, store_option
from roj.cli.output import Column, Table, age, output_option, show_list, time_of
from roj.client.history import HistoryRow, instance_history

_STYLES = {"launched": "green", "failed": "red", "superseded": "dim", "stopped": "dim"}


@click.command()
@click.argument("reference", metavar="INSTANCE")
@output_option
@store_option
@click.pass_context
def history(context: click.Context, reference: str, output: str) -> None:
    """List what was done to an instance, newest first: what, by whom, when and why, and what became of it.

    The last 50 changes are kept, and the outcomes of the last ones. TOOK is how long the node took from when it could
    act on the change to its end. OUTCOME is empty where there is no end yet, or it is not known any more.

    \b
    roj history web-ixbix
    roj history web-ixbix -o wide
    roj history node1/web-ixbix -o json | jq -r '.[] | select(.outcome == "failed") | .message'
    roj rollback web-ixbix --to $(roj history web-ixbix -o name | sed -n 2p)

    \b
    launched    its containers run, and did for a second
    stopped     they were stopped
    failed      it could not be launched; after an upgrade the app before serves again
    superseded  another change came before it had an end

    \b
    JSON: a list of {generation, app, goal, who, when, why, at, now, change, revision, outcome, ended, seconds, message}
    """
    with opened_store(context) as store:
        rows = instance_history(store, reference)
    nothing = f"Nothing is known of what was done to {reference}."
    show_list(_table(settings_of(context).the_environment().now()), rows, output, nothing)


def _table(now: datetime) -> Table[HistoryRow]:
    return Table(
        columns=(
            Column("GENERATION", lambda row: str(row.entry.generation)),
            Column("APP", lambda row: str(row.entry.app)),
            Column("GOAL", lambda row: row.entry.goal),
            Column("OUTCOME", _outcome, style=lambda row: _STYLES.get(_outcome(row), "")),
            Column("TOOK", lambda row: f"{row.outcome.seconds:.1f}s" if row.outcome else ""),
            Column("AGE", lambda row: age(row.entry.when, now)),
            Column("WHO", lambda row: row.entry.who),
            Column("WHEN", lambda row: time_of(row.entry.when) or "", wide=True),
            Column("AT", lambda row: time_of(row.entry.at) or "", wide=True),
            Column("NOW", lambda row: "yes" if row.entry.now else "", wide=True),
            Column("CHANGE", lambda row: row.entry.change, wide=True),
            Column("REVISION", lambda row: row.entry.revision, wide=True),
            Column("WHY", lambda row: row.entry.why, folds=True),
            Column("MESSAGE", lambda row: row.outcome.message if row.outcome else "", folds=True),
        ),
        fields=history_fields,
        name=lambda row: str(row.entry.generation),
    )


def _outcome(row: HistoryRow) -> str:
    return row.outcome.outcome if row.outcome is not None else ""


def history_fields(row: HistoryRow) -> dict[str, Any]:
    """A change as JSON has it."""
    entry, outcome = row.entry, row.outcome
    return {
        "generation": entry.generation, "app": str(entry.app), "goal": entry.goal,
        "who": entry.who, "when": time_of(entry.when), "why": entry.why,
        "at": time_of(entry.at), "now": entry.now, "change": entry.change, "revision": entry.revision,
        "outcome": outcome.outcome if outcome else None, "ended": time_of(outcome.when if outcome else None),
        "seconds": outcome.seconds if outcome else None, "message": outcome.message if outcome else "",
    }  # fmt: skip
