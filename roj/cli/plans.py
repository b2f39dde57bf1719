"""Exit codes of plans: what every command does that can say what it would change.

As Terraform's `-detailed-exitcode` and `diff` have it, a script that asks learns from the exit code whether there is a
difference; without `--exit-code` a plan that could be made is 0, for `set -e`.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from roj.cli.context import Function
from roj.cli.errors import CHANGES


def dry_run_options(help: str) -> Callable[[Function], Function]:
    """Adds `--dry-run`, with this help, and `--exit-code`, passed on as `dry_run` and `exit_code`."""

    def add(function: Function) -> Function:
        dry_run = click.option("--dry-run", is_flag=True, help=help)
        exit_code = click.option(
            "--exit-code",
            is_flag=True,
            help="With --dry-run: 10 if something would change, 0 if nothing would.",
        )
        return dry_run(exit_code(function))

    return add


DRY_RUN = "Check everything, say what would be written, write nothing."
"""The help of `--dry-run` of commands that write to the store."""


def refuse_exit_code(context: click.Context, *, exit_code: bool, dry_run: bool) -> None:
    """`--exit-code` is of plans only: where something is done, the exit code tells how that went.

    Raises:
        click.UsageError: it is given without `--dry-run`.
    """
    if exit_code and not dry_run:
        raise click.UsageError("--exit-code goes with --dry-run.", context)


def end_of_plan(context: click.Context, *, exit_code: bool, changes: bool) -> None:
    """End the command with 10 where that was asked for and there would be changes."""
    if exit_code and changes:
        context.exit(CHANGES)
