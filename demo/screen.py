"""What the spectator sees: commands, what they print, what the agent says meanwhile, and a few words between."""

from __future__ import annotations

import os
import sys

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Screen:
    """Lines on standard output, each behind `mark`."""

    def __init__(self, mark: str = "") -> None:
        self._mark = mark
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, words: str) -> None:
        """A comment."""
        self._line(f"# {words}", DIM)

    def command(self, words: str) -> None:
        """A command as it is typed."""
        self._line("")
        self._line(f"$ {words}", BOLD)

    def output(self, text: str) -> None:
        """What a command printed."""
        for line in text.splitlines():
            self._line(line)

    def agent(self, line: str) -> None:
        """A line of the agent's, in its own terminal."""
        self._line(f"    agent | {line}", DIM)

    def _line(self, words: str, style: str = "") -> None:
        if self._colours and style:
            words = f"{style}{words}{PLAIN}"
        print(f"{self._mark}{words}".rstrip(), flush=True)
