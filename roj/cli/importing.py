"""`roj import helios`, `roj import compose`: files of others as app files."""

from __future__ import annotations

import posixpath
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roj.api.faults import Fault, InvalidInput
from roj.cli.context import Function, say, settings_of
from roj.cli.errors import USAGE
from roj.cli.export import written
from roj.cli.flags import MAX_FILE, file_content, pairs_of
from roj.cli.output import one_line

if TYPE_CHECKING:
    from roj.importers.notes import Imported, Kind

KINDS: tuple[Kind, ...] = ("taken", "changed", "refused")


@click.group("import")
def import_() -> None:
    """Turn a file of another tool into an app file.

    The app file goes to stdout, for `roj create NAME:VERSION -f -`. To stderr goes what became of each place of the
    file: taken, changed, or refused with the reason; nothing is dropped in silence.
    """


def _partial(function: Function) -> Function:
    return click.option(
        "--partial",
        is_flag=True,
        help="Print what can be taken though something is refused; still ends with 2.",
    )(function)


@import_.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--image", metavar="IMAGE", help="The image, in place of the file's; Helios's files may have none."
)
@_partial
@click.pass_context
def helios(context: click.Context, file: str, image: str | None, partial: bool) -> None:
    """Turn a job configuration of Helios into an app file; - is stdin.

    Ends with 0 where all of it is taken or changed, else with 2 and nothing on stdout.

    \b
    roj import helios job.json > web.yaml
    roj import helios job.json | roj create web:v1 -f -
    helios inspect web:v1 --json | roj import helios - --partial > web.yaml
    """
    from roj.importers.helios import import_helios

    _report(context, import_helios(_content(file, "roj import helios --help"), file, image=image), partial)


@import_.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--service", "services", metavar="NAME", multiple=True,
    help="Only this service, and those that it depends on; one with a profile, too.",
)  # fmt: skip
@click.option(
    "--image", "images", metavar="SERVICE=IMAGE", multiple=True,
    help="The image of a service, in place of the file's, or of what it would build.",
)  # fmt: skip
@_partial
@click.pass_context
def compose(
    context: click.Context, file: str, services: tuple[str, ...], images: tuple[str, ...], partial: bool
) -> None:
    """Turn a Compose file into an app file; - is stdin.

    The services become the containers of one app, in the order of their depends_on. Variables have the values that
    they have here and in .env beside the file. Ends with 0 where all of it is taken or changed, else with 2 and
    nothing on stdout.

    \b
    roj import compose compose.yaml > shop.yaml
    roj import compose compose.yaml --service web --image web=registry.example/web:1.4 | roj create web:v1 -f -
    docker compose config | roj import compose - --partial > shop.yaml
    """
    from roj.importers.compose import import_compose
    from roj.importers.compose_project import Surroundings

    faults: list[Fault] = []
    references = pairs_of("--image", images, faults)
    if faults:
        raise InvalidInput(faults)
    directory = Path.cwd() if file == "-" else Path(file).absolute().parent
    around = Surroundings(posixpath.normpath(str(directory)), settings_of(context).variables, _text_of)
    content = _content(file, "roj import compose --help")
    _report(context, import_compose(content, around, file, services=services, images=references), partial)


def _content(file: str, hint: str) -> object:
    """What FILE says. Raises InvalidInput, also where a key stands twice."""
    faults: list[Fault] = []
    content: object = file_content(file, faults, f"`{hint}` says what is read")
    if faults:
        raise InvalidInput(faults)
    return content


def _text_of(path: str) -> str:
    """The text of a file that the imported one names. Raises OSError or ValueError."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise OSError(0, "it is too large")
    return data.decode("utf-8-sig")


def _report(context: click.Context, imported: Imported, partial: bool) -> None:
    """The report to stderr, the app file to stdout."""
    counts = Counter(note.kind for note in imported.notes)
    for kind in KINDS:
        for note in imported.notes:
            if note.kind == kind:
                say(one_line(f"{kind:7}  {note.place or 'the file'}{': ' if note.words else ''}{note.words}"))
    say(", ".join(f"{counts[kind]} {kind}" for kind in KINDS))
    if imported.spec is not None and (imported.whole or partial):
        click.echo(written(imported.spec), nl=False)
    elif imported.spec is None:
        say("Nothing is left that an app could be made of.")
    else:
        say("No app file is printed; with --partial it is, without what is refused.")
    if not imported.whole:
        context.exit(USAGE)
