"""`roj apply`: what is declared becomes as files say."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from roj.cli.apps import why_option
from roj.cli.context import opened, say, store_option
from roj.cli.documents import files_option, read_files, step_fields, step_words
from roj.cli.output import as_yaml, json_list, write
from roj.cli.plans import dry_run_options, end_of_plan, refuse_exit_code
from roj.client.applying import Step

form_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.command()
@files_option(required=True)
@click.option(
    "--prune", is_flag=True,
    help="Undeploy the instances, of apps whose names are in the files, that no document names.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before --prune undeploys; needed off a terminal.")
@dry_run_options("Check everything, say what would be written, write nothing.")
@why_option
@form_option
@store_option
@click.pass_context
def apply(
    context: click.Context,
    /,
    *,
    files: tuple[str, ...],
    prune: bool,
    yes: bool,
    dry_run: bool,
    exit_code: bool,
    why: str,
    output: str,
) -> None:
    """Make apps, nodes and instances as files say; the same again changes nothing.

    Every fault of every document is told before anything is written. Then come apps, nodes and instances, in this order.
    An instance that runs another app is upgraded in place, as by `roj upgrade`; one on another node is refused (5).

    \b
    roj apply -f cluster.yaml
    roj apply -f cluster/ --dry-run --exit-code
    roj apply -f web.yaml --prune --yes -m "release 12"
    roj export all | roj apply -f -

    \b
    A file has documents, with `---` between two, each with one of:
        app: web:v2                     # then as in the file of `roj create -f`
        containers: [{name: web, image: "nginx:1.27"}]
        ---
        node: node1                     # of a node that is there; what is left out stays
        labels: {zone: a}               # all that it has
        cordoned: false
        windows: [Sat 02:00-04:00 Europe/Warsaw]
        ---
        instance: web-1
        app: web:v2
        node: node1
        goal: start                     # or stop; start, if left out

    \b
    JSON: a list of {kind, name, action: create|change|undeploy|none, changes, place}
    """
    from roj.client.applying import carry_out
    from roj.client.applying import plan as compare

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    documents = read_files(files)
    with opened(context) as client:
        steps = compare(client, documents, prune=prune)
        pruned = [step.name for step in steps if step.action == "undeploy"]
        if dry_run:
            show_steps(steps, output, would=True)
            end_of_plan(context, exit_code=exit_code, changes=is_change(steps))
            return
        if pruned and not yes:
            _confirm(pruned)
        done: list[Step] = []

        def told(step: Step) -> None:
            done.append(step)
            if output == "text" and step.action != "none":
                say(step_words(step, would=False))

        try:
            carry_out(client, steps, why=why, told=told)
        finally:
            if output == "json":
                write(json_list(map(step_fields, done)))
        _sum_up(steps)


def show_steps(steps: Sequence[Step], output: str, *, would: bool) -> None:
    """Print what would be written: for people, or by name, what changes; for programs all."""
    fields = [step_fields(step) for step in steps]
    if output in ("json", "yaml"):
        write(json_list(fields) if output == "json" else as_yaml(fields))
        return
    if output == "name":
        write("".join(f"{step.name}\n" for step in steps if step.action != "none"))
        return
    write("".join(step_words(step, would=would) + "\n" for step in steps if step.action != "none"))
    if not is_change(steps):
        _sum_up(steps)


def is_change(steps: Sequence[Step]) -> bool:
    """Whether something would be written."""
    return any(step.action != "none" for step in steps)


def _sum_up(steps: Sequence[Step]) -> None:
    same = sum(step.action == "none" for step in steps)
    if same:
        say(f"{same} of {len(steps)} are so already")


def _confirm(names: Sequence[str]) -> None:
    from roj.client.errors import Invalid

    question = f"--prune would undeploy {', '.join(names[:10])}" + (
        f" and {len(names) - 10} more" if len(names) > 10 else ""
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Invalid(question, hint="--yes means it; --dry-run shows all.")
    if not click.confirm(f"{question}, which is not taken back. Go on?", err=True):
        raise Invalid("nothing was written")
