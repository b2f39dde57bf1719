"""Whether a report leaves nothing of a file out."""

from __future__ import annotations

from collections.abc import Iterable

from roj.importers.reading import leaves


def unaccounted(tree: object, places: Iterable[str]) -> list[str]:
    """The leaves that no place of the report is or holds."""
    told = set(places)
    return [leaf for leaf in leaves(tree) if not _told(leaf, told)]


def _told(leaf: str, told: set[str]) -> bool:
    if leaf in told:
        return True
    # What follows a place within it begins with a dot or a bracket.
    return any(leaf[at] in ".[" and leaf[:at] in told for at in range(1, len(leaf)))
