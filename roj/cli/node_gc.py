"""`roj node gc`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

from roj.cli.context import say
from roj.cli.output import Column, Table, output_option, show_list
from roj.cli.plans import dry_run_options, end_of_plan, refuse_exit_code


@dataclass(frozen=True, slots=True)
class GarbageRow:
    """One thing that garbage collection removes."""

    what: str
    id: str
    name: str
    why: str
    size: int


_TABLE: Table[GarbageRow] = Table(
    columns=(
        Column("WHAT", lambda row: row.what),
        Column("NAME", lambda row: row.name),
        Column("SIZE", lambda row: f"{row.size / 1e6:.1f} MB" if row.size else ""),
        Column("ID", lambda row: row.id, wide=True),
        Column("WHY", lambda row: row.why, folds=True),
    ),
    fields=lambda row: {"what": row.what, "id": row.id, "name": row.name, "size": row.size, "why": row.why},
    name=lambda row: row.name,
)


@click.command(short_help="Remove what nobody wants on a node.")
@click.argument("name", metavar="NODE")
@dry_run_options("Only say what would be removed, and why.")
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The agent's state directory, where it is not the default one.",
)
@output_option
@click.pass_context
def gc(
    context: click.Context,
    /,
    *,
    name: str,
    dry_run: bool,
    exit_code: bool,
    state_dir: Path | None,
    output: str,
) -> None:
    """Remove what nobody wants on a node, however full its disk: to be called on the node itself.

    Its agent does it: left-over containers and networks of its own, and images that it pulled, that nothing uses, and
    that nothing may be rolled back to. SIZE is in MB of 1,000,000 bytes, in JSON in bytes.

    \b
    roj node gc node1 --dry-run
    roj node gc node1 --dry-run --exit-code || echo "there is something to remove"
    roj node gc node1
    """
    from roj.agent.http import ask, socket_path
    from roj.agent.options import default_state_directory
    from roj.api.names import check_name
    from roj.client.errors import Denied, Failed, Invalid, Unreachable

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    try:
        check_name(name)
    except ValueError as problem:
        raise Invalid(str(problem)) from None
    directory = state_dir or default_state_directory(name)
    path = socket_path(directory)
    try:
        status, _, body = ask(directory, "GET" if dry_run else "POST", "/gc")
    except PermissionError:
        raise Denied(f"this user may not open {path}", hint="Run this as the agent's user.") from None
    except OSError as error:
        raise Unreachable(
            f"no agent of {name} answers at {path}: {error.strerror or error}",
            hint="Run this on the node itself, as the agent's user; --state-dir says where its state is.",
        ) from None
    if status == 503:
        raise Unreachable(body.strip())
    if status != 200:
        raise Failed(f"the agent of {name} answers {status}: {body.strip()}")
    rows = [GarbageRow(**item) for item in json.loads(body)]
    show_list(_TABLE, rows, output, "There is nothing to remove.")
    if rows:
        say(f"{len(rows)} would be removed" if dry_run else f"{len(rows)} removed")
    end_of_plan(context, exit_code=exit_code, changes=bool(rows))
