"""The pages are true: every command, exit code, target and link that they name is there, and none is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from roj.cli.errors import EXIT_CODES
from roj.cli.main import COMMANDS, main
from roj.cli.schema import page_of_app, schema_of_app
from roj.framework.metrics import Metrics
from roj.importers.compose_fields import DEPLOY_LEFT_OUT, LEFT_OUT, REFUSED
from roj.importers.compose_service import READERS as COMPOSE
from roj.importers.helios import READERS as HELIOS

SOURCES = Path(__file__).parents[2]
PAGES = sorted([*SOURCES.glob("*.md"), *SOURCES.glob("docs/**/*.md"), *SOURCES.glob("examples/**/*.md")])
WRITTEN = [page for page in PAGES if page.name not in ("cli.md", "app.md", "DESIGN.md")]
"""By hand, of what there is: the reference is made from the commands, the contract names what is to come."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(SOURCES)) for page in pages]


def anchors(page: Path) -> set[str]:
    """What a link into the page may name, as GitHub makes it from the headings."""
    found = set()
    for heading in re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.S | re.M), re.M
    ):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text_of(page), flags=re.S | re.M)
    ):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), f"{page.name}: {target}"
        assert there.is_relative_to(SOURCES), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}; there are {sorted(anchors(there))}"


@pytest.mark.parametrize("page", WRITTEN, ids=names(WRITTEN))
def test_files_that_are_named_are_there(page: Path) -> None:
    tops = "roj|tests|engines|demo|benchmarks|docs|examples"
    for named in re.findall(rf"`((?:{tops})/(?!v1/)[\w./*-]+)`", text_of(page)):
        assert list(SOURCES.glob(named.rstrip("/"))), f"{page.name}: {named}"


def typed(page: Path) -> list[str]:
    """Every `roj ...` that the page has somebody type, in a block or in a sentence."""
    text = text_of(page)
    lines = [line[2:].split("  #")[0] for line in text.splitlines() if line.startswith("$ roj ")]
    lines += re.findall(r"^ExecStart=\S*/(roj .*)$", text, re.M)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    lines += [line for line in re.findall(r"`(roj [a-z][^`]*)`", prose) if "COMMAND" not in line]
    return lines


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = main
    context = click.Context(main, info_name="roj")
    while isinstance(command, click.Group) and words:
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r}"
        context = click.Context(found, info_name=name, parent=context)
        command = found
    return command, words


@pytest.mark.parametrize("page", WRITTEN, ids=names(WRITTEN))
def test_commands_are_understood(page: Path) -> None:
    for line in typed(page):
        command, words = resolve(shlex.split(line)[1:])
        known = {option for parameter in command.params for option in parameter.opts}
        flags = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert flags <= known | {"--help"}, f"{page.name}: {line}"


def test_the_tutorial_parses() -> None:
    """Each of its commands, as it is typed, is one that `roj` would carry out."""
    lines = [
        line[2:].split("  #")[0]
        for line in text_of(SOURCES / "README.md").splitlines()
        if line.startswith("$ roj ")
    ]
    assert {line.split()[1] for line in lines} >= {
        "version",
        "create",
        "agent",
        "deploy",
        "instances",
        "undeploy",
    }
    for line in lines:
        command, words = resolve(shlex.split(line)[1:])
        command.make_context(command.name, words, parent=click.Context(main, info_name="roj"))


def test_every_command_is_in_the_changelog() -> None:
    missing = [name for name in COMMANDS if f"`{name}`" not in text_of(SOURCES / "CHANGELOG.md")]
    also = {"agent": "roj agent", "node": "node gc"}
    assert [
        name for name in missing if f"`{also.get(name, name)}`" not in text_of(SOURCES / "CHANGELOG.md")
    ] == []


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_exit_codes(page: str) -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text_of(SOURCES / page), re.M)}
    assert documented == set(EXIT_CODES)


def test_make_targets() -> None:
    makefile = text_of(SOURCES / "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    helped = set(re.findall(r"^([a-z-]+):.*## .", makefile, re.M))
    assert targets == helped, "each target has a line of help"
    for page in WRITTEN:
        named = re.findall(r"`make ([a-z-]+)[ `]", text_of(page)) + re.findall(
            r"^make ([a-z-]+)", text_of(page), re.M
        )
        assert set(named) <= targets, page.name


def test_metrics_that_are_named_are_there() -> None:
    text = Metrics().text()
    for name in re.findall(r"`(roj_\w+)`", text_of(SOURCES / "docs" / "operations.md")):
        assert f"# TYPE {name} " in text


def test_hooks_fetch_nothing() -> None:
    hooks = yaml.safe_load(text_of(SOURCES / ".pre-commit-config.yaml"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    assert all(hook["language"] == "system" for repository in hooks["repos"] for hook in repository["hooks"])


def test_the_page_of_the_app_file_is_made_from_the_types() -> None:
    assert text_of(SOURCES / "docs/app.md") == page_of_app(), "`make docs` makes it anew"


def test_every_field_of_the_app_file_is_told() -> None:
    schema = schema_of_app()
    for name, definition in {"AppSpec": schema, **schema["$defs"]}.items():
        for field, told in definition.get("properties", {}).items():
            assert told.get("description"), f"{name}.{field}"


@pytest.mark.parametrize(
    "keys", [sorted({*COMPOSE, *LEFT_OUT, *REFUSED}), sorted({*DEPLOY_LEFT_OUT}), sorted(HELIOS)]
)
def test_every_key_that_is_imported_or_not_is_told(keys: list[str]) -> None:
    text = text_of(SOURCES / "docs/import.md")
    assert [key for key in keys if f"`{key}`" not in text] == []
