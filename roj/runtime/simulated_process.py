"""What a simulated container's process does: a guess from its command, good enough for tests and `roj dev`.

Known are `sleep N`, `exit N`, `true` and `false`, one after another in a shell or alone. Anything else runs for ever.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

NO_SUCH = "no-such"
"""A command whose name begins so is in no image."""


@dataclass(frozen=True, slots=True)
class Process:
    """How a process will end by itself, and whether it ends when asked to."""

    seconds: float | None
    """How long it runs; None: for ever."""
    exit_code: int
    heeds_term: bool
    """Ends at SIGTERM, with exit code 0. Process 1 ignores the signal unless it has a handler."""
    found: bool = True
    """The engine finds the program."""


def process_of(command: tuple[str, ...] | None) -> Process:
    """What `command` does; None, the image's own, serves for ever and ends when asked to."""
    if not command:
        return Process(None, 0, heeds_term=True)
    shell = len(command) > 2 and command[0].rpartition("/")[2] in ("sh", "bash") and command[1] == "-c"
    script = command[2] if shell else shlex.join(command)
    if command[0].startswith(NO_SUCH):
        return Process(0, 127, heeds_term=False, found=False)
    waits = command[0] in ("sleep", "tail", "cat")
    heeds = "trap " in script or not (shell or waits)
    seconds, code = _run(script)
    return Process(seconds, code, heeds)


def _run(script: str) -> tuple[float | None, int]:
    seconds, code = 0.0, 0
    for statement in re.split(r";|&&|\n", script):
        words = statement.replace("& wait", "").split()
        match words:
            case [] | ["trap", *_]:
                continue
            case ["sleep", amount] if re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount):
                seconds, code = seconds + float(amount), 0
            case ["exit", number] if number.isdigit():
                return seconds, int(number)
            case ["true"] | ["echo", *_]:
                code = 0
            case ["false"]:
                code = 1
            case _:
                return None, 0
    return seconds, code
