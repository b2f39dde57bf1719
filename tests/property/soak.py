"""`make soak MINUTES=n`: the properties of test_promises.py on and on, in turns, with fresh seeds, on all cores.

Reports what was run and covered, and each failure with the line that replays it; 1 if there was one.
`ROJ_SIM_SHRINK=no`: failures are told as they were found, which leaves more time for others.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom

from tests.property.simulation.scenario import Scenario
from tests.property.test_promises import BATCH, PROPERTIES, Ran, batch


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that broke a promise, or the simulation."""

    property: str
    words: str
    replay: str


@dataclass(slots=True)
class Soaked:
    """What one core, or all, did."""

    ran: Ran = field(default_factory=Ran)
    failures: list[Failure] = field(default_factory=list)


def soak(seed: int, seconds: float) -> Soaked:
    """One core's share."""
    soaked, ends = Soaked(), time.monotonic() + seconds
    for turn in count():
        for name, trouble in PROPERTIES.items():
            how = trouble.how

            def counted(scenario: Scenario) -> None:
                began = time.process_time()
                world = how(scenario).world  # noqa: B023  (called before the next turn)
                spent = time.process_time() - began
                soaked.ran.add(Ran(1, world.scheduler.steps, spent, world.covered()))

            try:
                batch(trouble.drawn, counted, seed + turn, round(BATCH * trouble.share))
            except Exception as failure:  # noqa: BLE001  (told; others are still to be found)
                soaked.failures.append(_told(name, failure))
            if time.monotonic() > ends:
                return soaked
    raise AssertionError("it went on for ever")


def _told(name: str, failure: Exception) -> Failure:
    notes = "\n".join(getattr(failure, "__notes__", []))
    replay = next((line for line in notes.splitlines() if line.startswith("replay: ")), "replay: not known")
    told = Failure(name, f"{type(failure).__name__}: {failure}"[:1000], replay)
    print(f"\n{told.property}\n{told.words}\n{told.replay}", flush=True)
    return told


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("minutes", type=float, help="how long")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--seed", type=int, help="the first core's (a fresh one)")
    arguments = parser.parse_args()
    seed = SystemRandom().randrange(1, 2**31) if arguments.seed is None else arguments.seed
    print(f"soak: {arguments.minutes:g} minutes on {arguments.cores} cores, seed {seed}", flush=True)
    # Seeds of a batch are consecutive: cores stay far apart.
    seeds = [seed + core * 1_000_000 for core in range(arguments.cores)]
    whole = Soaked()
    with ProcessPoolExecutor(arguments.cores, multiprocessing.get_context("spawn")) as pool:
        for soaked in pool.map(soak, seeds, [arguments.minutes * 60.0] * len(seeds)):
            whole.ran.add(soaked.ran)
            whole.failures += soaked.failures
    ran, pairs = whole.ran, whole.ran.covered.pairs
    print(
        f"\nsoak: {ran.runs} runs, {ran.steps} steps ({ran.steps / max(ran.seconds, 0.001):.0f} a second of one core), "
        f"{len(pairs)} fault-action pairs of {len(ran.covered.faults())} faults; {len(whole.failures)} failures"
    )
    return 1 if whole.failures else 0


if __name__ == "__main__":
    sys.exit(main())
