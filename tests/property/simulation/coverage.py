"""What a run covered: pairs of a fault and the action that it befell.

An action is a call of the store or of Docker (`store: swap`, `docker: create`), or, of what happens to an agent as a
whole (a crash, a power cut, a full disk), the last thing that the agent had done (`disk: write`, too).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.property.simulation.story import Story

Pairs = Mapping[tuple[str, str], int]
"""How often, by action and fault."""


class Coverage:
    """Of one run, what happened to whole agents; or of many runs, everything."""

    def __init__(self, story: Story | None = None) -> None:
        self._story = story or Story()
        self.pairs: dict[tuple[str, str], int] = {}

    def note(self, host: str, fault: str) -> None:
        """It happens now to that machine, whatever its agent is doing."""
        self._add(_last_action(self._story, host), fault, 1)

    def calls(self, kind: str, met: Pairs) -> None:
        """Calls of the `kind` that met a fault, by name and fault."""
        for (call, fault), count in met.items():
            self._add(f"{kind}: {call}", fault, count)

    def add(self, others: Iterable[Coverage]) -> None:
        """All that others have."""
        for other in others:
            for (action, fault), count in other.pairs.items():
                self._add(action, fault, count)

    def faults(self) -> dict[str, int]:
        """How many different actions each fault befell."""
        found: dict[str, int] = {}
        for _, fault in sorted(self.pairs):
            found[fault] = found.get(fault, 0) + 1
        return found

    def _add(self, action: str, fault: str, count: int) -> None:
        self.pairs[action, fault] = self.pairs.get((action, fault), 0) + count


def _last_action(story: Story, host: str) -> str:
    for step in reversed(story.steps):
        kind, colon, rest = step.action.partition(": ")
        if colon and kind in {"store", "docker", "disk"} and step.actor.startswith(f"{host}/"):
            return f"{kind}: {rest.partition(' ')[0]}"
    return "nothing yet"
