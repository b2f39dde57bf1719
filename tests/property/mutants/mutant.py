"""A mutant: a mistake that somebody might make, as a small patch of roj."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of the patch."""

    file: str
    """Under `roj/`."""
    old: str
    """Is there exactly once."""
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake. Several edits only where one alone is harmless, as roj has a second line of defence."""

    name: str
    mistake: str
    """In a sentence."""
    edits: tuple[Edit, ...]
    interleaved: bool = False
    """Only to be found where somebody else acts between two steps of one handler or command."""

    def apply(self, root: Path) -> None:
        """Make the mistake in the tree at `root`.

        Raises:
            ValueError: the text of an edit is not there exactly once: the code has changed, and the mutant must, too.
        """
        for edit in self.edits:
            file = root / "roj" / edit.file
            text = file.read_text(encoding="utf-8")
            count = text.count(edit.old)
            if count != 1:
                raise ValueError(
                    f"mutant {self.name}: its text is {count} times in roj/{edit.file}, not once; "
                    f"mend it in tests/property/mutants/catalogue.py:\n{edit.old}"
                )
            file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
