"""On a terminal: colours, unless they are not wanted, and messages that fold; nothing is cut off."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.unit.cli.seed import Seed

MESSAGE = "the image nginx:1.7.1 cannot be pulled from registry.example: no route to host, trying again later"
COLOUR = re.compile(r"\x1b\[[0-9;]*[0-9]m")


def on_a_terminal(seed: Seed, *words: str, columns: int, **variables: str) -> str:
    """What `roj WORDS` prints to a terminal of that width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "ROJ_STORE": seed.url, **variables}
    with subprocess.Popen([sys.executable, "-m", "roj", *words], stdout=theirs, env=environment) as running:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux's word for the other end being closed
                break
            if not part:
                break
            found += part
    os.close(ours)
    assert running.returncode == 0
    return found.decode().replace("\r\n", "\n")


@pytest.fixture
def failed(seed: Seed) -> Seed:
    seed.node("n1")
    seed.instance("n1", "web-abcde")
    seed.status("n1", "web-abcde", "failed", message=MESSAGE)
    return seed


def test_phases_have_colours(failed: Seed) -> None:
    out = on_a_terminal(failed, "instances", columns=200)
    assert "\x1b[31mfailed" in out


@pytest.mark.parametrize(
    "words",
    [
        ("instances",),
        ("nodes",),
        ("apps",),
        ("events",),
        ("cluster",),
        ("inspect", "node", "n1"),
        ("--help",),
    ],
)
def test_with_no_color_there_is_no_escape_sequence_at_all(failed: Seed, words: tuple[str, ...]) -> None:
    failed.app()
    failed.event("n1", 1, "Failed", type="Warning", instance="web-abcde")
    out = on_a_terminal(failed, *words, columns=200, NO_COLOR="1")
    assert "\x1b" not in out
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize("columns", [40, 120, 300])
def test_nothing_is_cut_off_however_narrow_it_is(failed: Seed, columns: int) -> None:
    out = COLOUR.sub("", on_a_terminal(failed, "instances", columns=columns))
    assert "…" not in out
    for word in ("web-abcde", "n1", "web:v1", "8080->80/tcp", *MESSAGE.split()):
        assert word in out


def test_data_for_programs_has_no_colours_on_a_terminal_either(failed: Seed) -> None:
    for form in ("json", "yaml", "name"):
        assert "\x1b" not in on_a_terminal(failed, "instances", "-o", form, columns=100)
