"""`roj rollout ...` and `roj rollouts`: one app taken to many instances, a few at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from roj.api.duration import parse_duration
from roj.api.faults import Fault, InvalidInput
from roj.api.names import check_name, parse_app_reference
from roj.api.node import Node
from roj.api.rollout import RolloutGoal, parse_share
from roj.api.selector import Selector
from roj.cli.apps import why_option
from roj.cli.choosing import selector_of, selector_option
from roj.cli.context import opened, say, settings_of, store_option
from roj.cli.errors import FAILED, INTERRUPTED, NOT_CONVERGED
from roj.cli.flags import taken
from roj.cli.output import Column, Table, age, output_option, show_list, show_object, time_of, write
from roj.cli.plans import DRY_RUN, dry_run_options, end_of_plan, refuse_exit_code
from roj.client.client import Client
from roj.client.rollout_view import RolloutRow

PACE = 0.5
"""Seconds between two looks of `status -w` and `--wait`."""


@click.group()
def rollout() -> None:
    """Take an app to many instances, a few at a time."""


@rollout.command()
@click.argument("name", metavar="NAME")
@click.option("--to", "to", metavar="NAME:VERSION", required=True, help="The app to roll out.")
@click.option(
    "--app", metavar="NAME[:VERSION]", required=True, help="To every instance that is to run this app."
)
@click.option("--node", "nodes", metavar="NODE", multiple=True, help="Only on these nodes.")
@selector_option
@click.option(
    "--batch", metavar="N|N%", default="1", show_default=True, help="How many are under way at once."
)
@click.option(
    "--canary", metavar="N", type=click.IntRange(0), default=0, help="So many first, before all others."
)
@click.option(
    "--shard-by", metavar="LABEL", default="", help="One value of this label of nodes after the other."
)
@click.option("--max-failures", metavar="N|N%", default="0", show_default=True, help="Stop at one more.")
@click.option(
    "--pause-after",
    type=click.Choice(["canary", "shard", "batch"]),
    help="Wait for `roj rollout resume` after each.",
)
@click.option(
    "--wait-between", metavar="DURATION", default="0s", show_default=True, help="From one launch to the next."
)
@click.option("--on-failure", type=click.Choice(["pause", "rollback"]), default="pause", show_default=True)
@dry_run_options("Say which instances it would take, in order; write nothing.")
@click.option(
    "--wait", "waits", is_flag=True,
    help="Wait for its end: 0 done, 1 failed, paused for failures, aborted or rolled back, 3 not in time.",
)  # fmt: skip
@click.option("--timeout", metavar="DURATION", default="1h", show_default=True, help="How long --wait waits.")
@why_option
@store_option
@click.pass_context
def start(context: click.Context, /, **flags: Any) -> None:
    """Start a rollout: it is written down, and an agent carries it out, whatever becomes of this command.

    An instance is upgraded as by `roj upgrade`; the next one starts when one is launched, so that at most --batch are
    under way. An instance whose node is away is caught up when it is back; one that somebody else changed is left alone.

    \b
    roj rollout start web-2 --to web:v2 --app web:v1 --canary 1 --batch 25% --wait
    roj rollout start web-2 --to web:v2 --app web --shard-by zone --pause-after shard
    roj rollout start web-2 --to web:v2 --app web -l env=prod --batch 10%
    roj rollout start web-2 --to web:v2 --app web --max-failures 10% --on-failure rollback
    """
    from roj.client.rollouts import Terms, start_rollout

    refuse_exit_code(context, exit_code=flags["exit_code"], dry_run=flags["dry_run"])
    faults: list[Fault] = []

    def one(flag: str, read: Callable[[str], Any], text: str) -> Any:
        return next(iter(taken(flag, read, [text], faults)), None)

    name = one("NAME", check_name, flags["name"])
    to = one("--to", parse_app_reference, flags["to"])
    batch = one("--batch", parse_share, flags["batch"])
    failures = one("--max-failures", parse_share, flags["max_failures"])
    between = one("--wait-between", parse_duration, flags["wait_between"])
    patience = one("--timeout", parse_duration, flags["timeout"])
    meant = selector_of(flags["selector"], faults)
    if batch is not None and batch.number == 0:
        faults.append(Fault("--batch", "1 is the least"))
    if flags["pause_after"] == "canary" and not flags["canary"]:
        faults.append(Fault("--pause-after", "canary goes with --canary"))
    if flags["pause_after"] == "shard" and not flags["shard_by"]:
        faults.append(Fault("--pause-after", "shard goes with --shard-by"))
    if faults:
        raise InvalidInput(faults)
    terms = Terms(
        batch=batch, canary=flags["canary"], shard_by=flags["shard_by"], max_failures=failures,
        pause_after=flags["pause_after"], wait_between=between, on_failure=flags["on_failure"],
    )  # fmt: skip
    with opened(context) as client:
        made = start_rollout(
            client, flags["name"], to, flags["app"], terms,
            chosen=_chosen(flags["nodes"], meant), why=flags["why"], dry_run=flags["dry_run"],
        )  # fmt: skip
        if flags["dry_run"]:
            for target in made.targets:
                click.echo(target.name)
            say(f"{len(made.targets)} instances would get {made.to}, {made.window()} at once")
            end_of_plan(context, exit_code=flags["exit_code"], changes=bool(made.targets))
            return
        click.echo(name)
        say(f"{len(made.targets)} instances are to get {made.to}, {made.window()} at once")
        if flags["waits"]:
            _wait(context, client, flags["name"], patience)


def _verb(goal: RolloutGoal, verb: str, text: str) -> click.Command:
    @rollout.command(verb, help=f"{text}\n\n\b\nroj rollout {verb} web-2")
    @click.argument("name", metavar="NAME")
    @dry_run_options(DRY_RUN)
    @why_option
    @store_option
    @click.pass_context
    def command(context: click.Context, /, *, name: str, dry_run: bool, exit_code: bool, why: str) -> None:
        from roj.client.rollouts import change_rollout

        refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
        with opened(context, dry_run=dry_run) as client:
            change_rollout(client, name, goal, why)
        click.echo(name)
        if dry_run:
            say(f"{name} would be told to {verb}")
        end_of_plan(context, exit_code=exit_code, changes=True)

    return command


pause = _verb("pause", "pause", "Start no more instances for now; what is under way goes on.")
resume = _verb("run", "resume", "Go on after a pause.")
abort = _verb("abort", "abort", "Start no more instances, for good; those that have the new app keep it.")
rollback = _verb(
    "rollback",
    "rollback",
    "Take every instance that the rollout changed back to what it ran before, also after its end.",
)


def _chosen(names: Sequence[str], selector: Selector | None) -> Callable[[str, Node], bool]:
    """Which nodes are meant; all, where nothing is said of them."""

    def chosen(name: str, node: Node) -> bool:
        return (not names or name in names) and (selector is None or selector.matches(node.labels))

    return chosen


@rollout.command()
@click.argument("name", metavar="NAME")
@click.option(
    "-w", "--watch", is_flag=True, help="Follow it to its end: live on a terminal, else a JSON line per step."
)
@output_option
@store_option
@click.pass_context
def status(context: click.Context, /, name: str, watch: bool, output: str) -> None:
    """Show how far a rollout is.

    \b
    roj rollout status web-2
    roj rollout status web-2 -w

    \b
    JSON: {name, to, phase, done, total, failed, away, message, since, by, batch, canary, who, when, why,
    steps: [{node, id, state, message, when}]}
    """
    from roj.client.rollout_view import get_rollout

    with opened(context) as client:
        if watch:
            _wait(context, client, name, None)
            return
        row = get_rollout(client, name)
    show_object(rollout_fields(row, steps=True), output, name, _words(row))


@click.command()
@output_option
@store_option
@click.pass_context
def rollouts(context: click.Context, output: str) -> None:
    """List rollouts.

    \b
    roj rollouts
    roj rollouts -o json | jq -r '.[] | select(.phase == "paused") | .name'

    \b
    JSON: a list of {name, to, phase, done, total, failed, away, message, since, by, batch, canary, who, when, why}
    """
    from roj.client.rollout_view import list_rollouts

    with opened(context) as client:
        rows = list_rollouts(client)
    now = settings_of(context).the_environment().now()
    show_list(_table(now), rows, output, "There are no rollouts yet. `roj rollout start` begins one.")


def _table(now: datetime) -> Table[RolloutRow]:
    return Table(
        columns=(
            Column("NAME", lambda row: row.name),
            Column("TO", lambda row: str(row.rollout.to) if row.rollout else ""),
            Column("PHASE", lambda row: row.phase, style=_colour),
            Column("DONE", lambda row: f"{row.done}/{row.total}"),
            Column("FAILED", lambda row: str(row.failed)),
            Column("AWAY", lambda row: str(row.away)),
            Column("SINCE", lambda row: age(row.status.since if row.status else None, now)),
            Column("BY", lambda row: row.status.by if row.status else "", wide=True),
            Column("WHO", lambda row: row.rollout.who if row.rollout else "", wide=True),
            Column("WHY", lambda row: row.rollout.why if row.rollout else "", wide=True, folds=True),
            Column("MESSAGE", lambda row: row.message, folds=True, style=lambda row: "yellow"),
        ),
        fields=lambda row: rollout_fields(row, steps=False),
        name=lambda row: row.name,
    )


def _colour(row: RolloutRow) -> str:
    return {"done": "green", "running": "", "paused": "yellow"}.get(row.phase, "red")


def rollout_fields(row: RolloutRow, *, steps: bool) -> dict[str, Any]:
    """A rollout as JSON has it."""
    record, progress = row.rollout, row.status
    fields: dict[str, Any] = {
        "name": row.name, "to": str(record.to) if record else None, "phase": row.phase,
        "done": row.done, "total": row.total, "failed": row.failed, "away": row.away, "message": row.message,
        "since": time_of(progress.since if progress else record.when if record else None),
        "by": progress.by if progress else "",
        "batch": str(record.batch) if record else None, "canary": record.canary if record else None,
        "who": record.who if record else "", "when": time_of(record.when if record else None),
        "why": record.why if record else "",
    }  # fmt: skip
    if steps and record is not None:
        fields["steps"] = [
            {
                "node": target.node, "id": target.id,
                "state": progress.steps[number].state if progress else "waiting",
                "message": progress.steps[number].message if progress else "",
                "when": time_of(progress.steps[number].when if progress else None),
            }
            for number, target in enumerate(record.targets)
        ]  # fmt: skip
    return fields


def _words(row: RolloutRow) -> str:
    lines = [_line(row)]
    if row.rollout is not None:
        width = max(len(target.name) for target in row.rollout.targets)
        for number, target in enumerate(row.rollout.targets):
            step = row.status.steps[number] if row.status else None
            state = step.state if step else "waiting"
            lines.append(f"  {target.name:<{width}}  {state:<8}  {step.message if step else ''}".rstrip())
    return "\n".join(lines) + "\n"


def _line(row: RolloutRow) -> str:
    to = f" to {row.rollout.to}" if row.rollout else ""
    counts = f"{row.done} of {row.total} done, {row.failed} failed, {row.away} away"
    return f"{row.name}{to}: {row.phase}, {counts}" + (f": {row.message}" if row.message else "")


def _wait(context: click.Context, client: Client, name: str, timeout: float | None) -> None:
    """Follow a rollout until it has ended or waits for an operator, and end the command accordingly."""
    from roj.client.rollout_view import get_rollout

    environment = client.environment
    deadline = environment.monotonic() + timeout if timeout is not None else None
    show, close = _live() if sys.stdout.isatty() else _lines()
    try:
        while True:
            row = get_rollout(client, name)
            show(row)
            if row.acknowledged and (row.ended or row.phase == "paused"):
                break
            if deadline is not None and environment.monotonic() > deadline:
                say(f"not in {timeout:g} s; the rollout goes on. `roj rollout status {name}` shows it.")
                context.exit(NOT_CONVERGED)
            environment.sleep(PACE)
    except KeyboardInterrupt:
        say("\nno longer waiting; the rollout goes on. `roj rollout status` shows it.")
        context.exit(INTERRUPTED)
    finally:
        close()
    if row.phase == "paused" and not row.failed:
        say(f"{row.message}")
        context.exit(NOT_CONVERGED)
    if row.phase != "done":
        say(f"{row.message or row.phase}")
        context.exit(FAILED)


def _lines() -> tuple[Callable[[RolloutRow], None], Callable[[], None]]:
    """A JSON line whenever something is another."""
    last = ""

    def show(row: RolloutRow) -> None:
        nonlocal last
        line = json.dumps(rollout_fields(row, steps=True), ensure_ascii=False)
        if line != last:
            last = line
            write(line + "\n")
            sys.stdout.flush()

    return show, lambda: None


def _live() -> tuple[Callable[[RolloutRow], None], Callable[[], None]]:
    """A table that is drawn anew in its place."""
    from rich.live import Live
    from rich.text import Text

    live = Live(Text(""), auto_refresh=False)
    live.start()

    def show(row: RolloutRow) -> None:
        live.update(Text(_words(row)), refresh=True)

    return show, live.stop
