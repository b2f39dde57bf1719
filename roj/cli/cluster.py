"""`roj cluster`."""

from __future__ import annotations

from typing import Any

import click

from roj.cli.context import opened_store, store_option
from roj.cli.output import output_option, show_object, time_of
from roj.client.rows import ClusterSummary
from roj.client.view import View


@click.command()
@output_option
@store_option
@click.pass_context
def cluster(context: click.Context, output: str) -> None:
    """Show the store in use, the cluster's id, nodes ready and away, instances by phase.

    \b
    roj cluster
    roj cluster --store consul://10.0.0.1:8500

    \b
    JSON: {store, id, created, nodes: {ready: [name], away: [name]}, instances: {total, phases: {launched: 3}}, message}
    """
    with opened_store(context) as store:
        summary = View(store).cluster()
    show_object(cluster_fields(summary), output, summary.id or "", cluster_text(summary))


def cluster_fields(summary: ClusterSummary) -> dict[str, Any]:
    """The summary as JSON has it."""
    return {
        "store": summary.store,
        "id": summary.id,
        "created": time_of(summary.created),
        "nodes": {"ready": list(summary.ready), "away": list(summary.away)},
        "instances": {"total": summary.instances, "phases": dict(summary.phases)},
        "message": summary.message,
    }


def cluster_text(summary: ClusterSummary) -> str:
    """The summary for people, one fact a line."""
    nodes = f"{len(summary.ready)} ready, {len(summary.away)} away"
    if summary.away:
        nodes += f" ({', '.join(summary.away[:10])}{', ...' if len(summary.away) > 10 else ''})"
    phases = ", ".join(f"{count} {phase}" for phase, count in summary.phases.items())
    lines = {
        "store": summary.store,
        "cluster": summary.id or "-",
        "nodes": nodes,
        "instances": f"{summary.instances}" + (f": {phases}" if phases else ""),
        "message": summary.message,
    }
    return "".join(f"{name + ':':<11}{text}\n" for name, text in lines.items() if text)
