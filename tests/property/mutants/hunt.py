"""Hunts one bug: plays the simulation's properties in turns until a promise is broken, or the budget is spent.

    python -m tests.property.mutants.hunt SEED SECONDS

in the tree that has the bug; prints what came of it as JSON. The seconds are the processor's, so that other work on the
machine does not count. The pinned regressions are not played: a bug must be found anew.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random

from hypothesis.errors import Flaky

import roj
from tests.property.simulation.oracles import Broken
from tests.property.simulation.play import Run
from tests.property.simulation.scenario import Scenario
from tests.property.simulation.workers import Livelock, SimulationFailure
from tests.property.test_promises import PROPERTIES, batch

TURN = 4
"""Examples of a property, times its share of the time, before it is the next one's turn."""


@dataclass(slots=True)
class Catch:
    """What came of a hunt."""

    found: bool = False
    oracle: str = ""
    promise: str = ""
    property: str = ""
    """Whose example it was."""
    examples: int = 0
    """That were played, of all properties."""
    seconds: float = 0.0
    """Of one core."""
    words: str = ""
    """The oracle's; or what went wrong otherwise, which counts as not found."""


def hunt(seed: int, seconds: float) -> Catch:
    """Until it is found, or as long as is given."""
    catch = Catch()
    began = time.process_time()

    def spent() -> float:
        return round(time.process_time() - began, 2)

    def found(oracle: str, promise: str, broken: Exception) -> None:
        if not catch.found:
            catch.found, catch.seconds = True, spent()
            catch.oracle, catch.promise, catch.words = oracle, promise, str(broken)[:300]

    def watched(how: Callable[[Scenario], Run]) -> Callable[[Scenario], Run]:
        def played(scenario: Scenario) -> Run:
            if spent() > seconds:
                raise TimeoutError
            catch.examples += not catch.found
            try:
                return how(scenario)
            except Broken as broken:
                found(broken.oracle, broken.promise, broken)
                raise
            except Livelock as endless:
                found("bounded work", "P12", endless)
                raise

        return played

    order = list(PROPERTIES.items())
    for turn in count():
        Random(seed * 1000 + turn).shuffle(order)  # where a property stands in the file makes no difference
        for name, trouble in order:
            catch.property = name
            try:
                batch(trouble.drawn, watched(trouble.how), seed * 1000 + turn, round(TURN * trouble.share))
            except TimeoutError:
                catch.seconds = spent()
                return catch
            except (Broken, Livelock, Flaky):
                if catch.found:
                    return catch
                raise
            except SimulationFailure as failure:
                catch.seconds, catch.words = spent(), str(failure)[:2000]
                return catch
    raise AssertionError("it went on for ever")


def main(seed: str, seconds: str) -> int:
    """One hunt, in the tree that it was started in."""
    assert Path(roj.__file__).resolve().parents[1] == Path.cwd().resolve(), f"hunts in {roj.__file__}"
    print(json.dumps(asdict(hunt(int(seed), float(seconds)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
