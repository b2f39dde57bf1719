"""Plays one scenario and tells it, with the agents' log: `python -m tests.property.simulation 'play(Scenario(...))'`."""

from __future__ import annotations

import logging
import sys
from math import inf

from tests.property.simulation import play as plays
from tests.property.simulation.play import Run
from tests.property.simulation.scenario import Command, Happening, Scenario, Window
from tests.property.simulation.schedule import Departure, Schedule
from tests.property.simulation.scheduler import Scheduler
from tests.property.simulation.story import StoryHandler


def main(line: str) -> int:
    """Run the line that a failure was printed with; 1 if it fails again."""
    words: dict[str, object] = {
        each.__name__: each for each in (Command, Happening, Scenario, Window, Departure, Schedule)
    }
    words.update(inf=inf, play=plays.play, offline=plays.offline, frozen=plays.frozen)
    seen: list[Scheduler] = []
    plays.started = lambda run: _tell(run, seen)
    try:
        eval(line, words)
    except AssertionError as broken:
        print(seen[0].story.text())
        print(broken)
        return 1
    print(seen[0].story.text())
    return 0


def _tell(run: Run, seen: list[Scheduler]) -> None:
    seen.append(run.world.scheduler)
    logger = logging.getLogger("roj")
    logger.addHandler(StoryHandler(run.world.scheduler.tell))
    logger.setLevel(logging.INFO)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
