"""The files that an agent must find again after a crash, as the controllers see them.

`roj.agent.state_directory` keeps them on the disk; a simulation keeps them in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StateFile:
    """The content of one file."""

    value: bytes
    previous: bool
    """It is the copy before the last, as the last one is damaged or gone: good to keep and repair what exists by,
    never to start, stop or downgrade anything (DESIGN.md section 3)."""


class StateDirectory(Protocol):
    """Small files by name (`node`, `orders/web-abcde`), each whole or not at all."""

    def read(self, name: str) -> StateFile | None:
        """The file's content; None if there is none that is whole. Raises OSError."""

    def write(self, name: str, value: bytes) -> None:
        """Put `value` in place of the file's content; on return it is on the disk. Raises OSError."""

    def delete(self, name: str) -> None:
        """Delete the file; nothing happens if there is none. Raises OSError."""

    def names(self, folder: str) -> tuple[str, ...]:
        """The names of all files in a folder (`orders/`), in order, each with the folder before it."""
