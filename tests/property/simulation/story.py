"""What happened in a run, step by step, as a story that a person can read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody did something that others can see."""

    time: float
    """Seconds (virtual) since the beginning of the run."""
    actor: str
    """`node-1/deploy-0`, `operator-0`, `world`."""
    action: str
    result: str

    def __str__(self) -> str:
        outcome = f"  -> {self.result}" if self.result else ""
        return f"{self.time:10.3f}  {self.actor:<24}  {self.action}{outcome}"


class Story:
    """The steps of one run."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def tell(self, time: float, actor: str, action: str, result: str = "") -> None:
        """Add a step."""
        self.steps.append(Step(time, actor, action, result))

    def digest(self) -> str:
        """Two runs with the same digest are the same run."""
        whole = hashlib.sha256()
        for step in self.steps:
            whole.update(f"{step.time!r}\0{step.actor}\0{step.action}\0{step.result}\n".encode())
        return whole.hexdigest()

    def text(self, last: int | None = None) -> str:
        """All of it, or the last steps."""
        shown = self.steps if last is None else self.steps[-last:]
        left = len(self.steps) - len(shown)
        head = [f"... {left} earlier steps"] if left else []
        return "\n".join([*head, *map(str, _merged(shown))])


def _merged(steps: Iterable[Step]) -> Iterable[Step | str]:
    """Alike steps in a row become one with a count."""
    previous: Step | None = None
    count = 0
    for step in steps:
        alike = previous is not None and (step.actor, step.action, step.result) == (
            previous.actor,
            previous.action,
            previous.result,
        )
        if alike:
            count += 1
            continue
        if count:
            yield f"{'':>10}  {'':<24}  ... and {count} times more"
        count = 0
        previous = step
        yield step
    if count:
        yield f"{'':>10}  {'':<24}  ... and {count} times more"


class StoryHandler(logging.Handler):
    """Puts the agents' log lines into the story; attached only where a run is told to a person."""

    def __init__(self, tell: object) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        assert callable(self._tell)
        trouble = f" ({record.exc_info[1]!r})" if record.exc_info and record.exc_info[1] else ""
        self._tell(f"log {record.levelname.lower()}: {record.getMessage()}{trouble}")
