"""docs/cli.md, made from the commands' own help: `python -m roj.cli.reference > docs/cli.md`.

A test fails where the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from roj.cli.errors import EXIT_CODES
from roj.cli.main import SECTIONS, main

WIDTH = 100

HEAD = """<!-- Made by `python -m roj.cli.reference`; do not edit. -->
# Commands

`roj COMMAND --help` prints the same. Data goes to stdout, everything else to stderr. `--store` may also stand before
the command.

## Exit codes

| code | meaning |
|---|---|
"""


def reference() -> str:
    """The whole page."""
    lines = [HEAD + "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())]
    root = _context(main, "roj", None)
    lines.append(_entry("roj", "##", root))
    for title, section in SECTIONS.items():
        lines.append(f"## {title}\n")
        for name in section:
            try:
                command = main.get_command(root, name)
            except click.ClickException:  # a part that is not built in
                continue
            if command is not None:
                lines += _entries(command, name, "###", root)
    return "\n".join(lines)


def _entries(command: click.Command, name: str, level: str, parent: click.Context) -> Iterator[str]:
    context = _context(command, name, parent)
    yield _entry(context.command_path, level, context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            child = command.get_command(context, inner)
            if child is not None:
                yield from _entries(child, inner, level + "#", context)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # The width is that of the page, whoever makes it on whatever terminal.
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


def _entry(title: str, level: str, context: click.Context) -> str:
    text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    return f"{level} {title}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
