"""A container in the making: each field is checked where it is taken, and a fault told at its place of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from roj.api.app import AppSpec, Container
from roj.api.clashes import clashes, update_clashes
from roj.api.faults import Fault, InvalidInput
from roj.importers.notes import Notes

_CLASH = re.compile(r"\[(\d+)\]\.(\w+)(?:\[(\d+)\])?")


class Draft:
    """One container of the app file, and where in the imported file its parts come from."""

    def __init__(self, name: str, place: str, notes: Notes) -> None:
        self.fields: dict[str, Any] = {"name": name}
        self.place = place
        self.places: dict[str, list[str]] = {}
        """Of the items of each field that is a list."""
        self._notes = notes

    def take(self, field: str, value: object, place: str, changed: str = "") -> bool:
        """`value` for `field`, if an app may have it; `resources.memory` is a field of a field."""
        if not self.fits(field, value, place):
            return False
        holder, name = self._holder(field)
        holder[name] = value
        self._tell(place, changed)
        return True

    def add(self, field: str, item: object, place: str, changed: str = "") -> bool:
        """One item more for a field that is a list."""
        if not self.fits(field, [item], place):
            return False
        self.fields.setdefault(field, []).append(item)
        self.places.setdefault(field, []).append(place)
        self._tell(place, changed)
        return True

    def put(self, field: str, key: str, value: object, place: str, changed: str = "") -> bool:
        """One entry more for a field that is a mapping; a second one of a key takes the first one's place."""
        if not self.fits(field, {key: value}, place):
            return False
        holder, name = self._holder(field)
        holder.setdefault(name, {})[key] = value
        self._tell(place, changed)
        return True

    def without(self, field: str, at: int) -> None:
        """Takes an item out again."""
        del self.fields[field][at]
        del self.places[field][at]

    def _holder(self, field: str) -> tuple[dict[str, Any], str]:
        part, dot, within = field.partition(".")
        return (self.fields.setdefault(part, {}), within) if dot else (self.fields, field)

    def fits(self, field: str, value: object, place: str) -> bool:
        """Whether an app may have `value` there; refused at `place` if not."""
        part, dot, within = field.partition(".")
        least = {"name": "c", "image": "c"}
        try:
            Container.checked({**least, part: {within: value} if dot else value})
        except InvalidInput as refused:
            self._notes.refused(place, "; ".join(fault.problem for fault in refused.faults))
            return False
        return True

    def _tell(self, place: str, changed: str) -> None:
        if changed:
            self._notes.changed(place, changed)
        else:
            self._notes.taken(place)


def app_of(drafts: Sequence[Draft], notes: Notes, update: tuple[str, str] | None = None) -> AppSpec | None:
    """The app of these containers, without what they cannot have together; `update` is its value and its place."""
    drafts = [draft for draft in drafts if "image" in draft.fields]
    while faults := clashes([draft.fields for draft in drafts]):
        if any(not fault.place for fault in faults):
            for fault in faults:
                notes.refused("", fault.problem)
            return None
        drafts = _without(drafts, faults, notes)
    fields: dict[str, Any] = {"containers": [draft.fields for draft in drafts]}
    if update is not None:
        if wrong := update_clashes(update[0], fields["containers"]):
            notes.refused(update[1], wrong[0].problem)
        else:
            fields["update"] = update[0]
    try:
        return AppSpec.checked(fields)
    except InvalidInput as refused:
        for fault in refused.faults:
            notes.refused(fault.place, fault.problem)
        return None


def _without(drafts: list[Draft], faults: Sequence[Fault], notes: Notes) -> list[Draft]:
    """The drafts without the items that clash with others."""
    items: dict[tuple[int, str, int], str] = {}
    whole: dict[int, str] = {}
    for fault in faults:
        found = _CLASH.match(fault.place)
        assert found is not None, fault
        if found[3] is None:
            whole[int(found[1])] = fault.problem
        else:
            items[int(found[1]), found[2], int(found[3])] = fault.problem
    for (of, field, at), problem in sorted(items.items(), reverse=True):
        notes.refused(drafts[of].places[field][at], problem)
        drafts[of].without(field, at)
    for of, problem in whole.items():
        notes.refused(drafts[of].place, problem)
    return [draft for at, draft in enumerate(drafts) if at not in whole]
