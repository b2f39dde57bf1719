"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from roj.cli.errors import EXIT_CODES
from roj.cli.main import COMMANDS
from roj.cli.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == reference(), "run: python -m roj.cli.reference > docs/cli.md"


def test_the_page_has_every_exit_code() -> None:
    for code in EXIT_CODES:
        assert f"| {code} |" in reference()


def test_the_page_has_every_command() -> None:
    missing = [name for name in COMMANDS if f"### roj {name}\n" not in reference()]
    assert not missing
