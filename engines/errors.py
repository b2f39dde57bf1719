"""What goes wrong with an engine."""

from pathlib import Path


class EngineError(Exception):
    """An engine could not be had, did not start or did not do as told. The text says which and why."""


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, for the end of an error's text."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"(no log at {log})"
    return f"last lines of its log ({log}):\n" + "\n".join("  " + line for line in text.splitlines()[-lines:])
