"""`make mutants`: plants one bug after another in a copy of the tree, and has the simulation's properties hunt for it.

    make mutants                             each once, with a fresh seed; 1 if one survives
    make mutants ARGUMENTS="--seeds 20"      each with many seeds: how long it takes to be found, kept in results.json
    make mutants ARGUMENTS="--only NAME"     one of them

A bug counts as found when an oracle names a broken promise, within BUDGET seconds of one core: what .ci/run gives
the properties. The table in docs/promises.md is written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom

from tests.property.mutants.catalogue import MUTANTS, NOT_FOUND_YET
from tests.property.mutants.hunt import Catch
from tests.property.mutants.mutant import Mutant
from tests.property.mutants.table import Results, write

SOURCES = Path(__file__).parents[3]
BUDGET = 40.0
"""Seconds of one core."""
PATIENCE = 20.0
"""Times the budget on the clock after which a hunt is given up: the machine is busy, or something hangs."""


def copy(target: Path) -> None:
    """The tree, as far as a hunt needs it."""
    leave = shutil.ignore_patterns("__pycache__", "e2e", "integration")
    for part in ("roj", "tests"):
        shutil.copytree(SOURCES / part, target / part, ignore=leave)


def hunted(mutant: Mutant | None, seed: int, seconds: float) -> Catch:
    """What came of one hunt, in a copy of its own; None: nothing is planted."""
    with tempfile.TemporaryDirectory(prefix="roj-mutant-") as directory:
        root = Path(directory)
        copy(root)
        if mutant is not None:
            mutant.apply(root)
        environment = {
            **os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
            "ROJ_SIM_SHRINK": "no",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.property.mutants.hunt", str(seed), str(seconds)]
        try:
            ran = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False,
                timeout=seconds * PATIENCE + 60.0,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Catch(words="it took too long by the clock")
        if ran.returncode != 0:
            return Catch(words=f"the hunt failed: {ran.stderr[-1500:]}")
        return Catch(**json.loads(ran.stdout.splitlines()[-1]))


def told(name: str, seed: int, catch: Catch) -> None:
    """A line for whoever waits."""
    outcome = (
        f"{catch.promise} {catch.oracle}, after {catch.examples} examples, {catch.seconds:.1f} s"
        if catch.found
        else f"SURVIVED {catch.examples} examples, {catch.seconds:.1f} s  {catch.words}"
    )
    print(f"{name:<34} seed {seed:<6} {outcome}", flush=True)


def hunt_all(
    mutants: Iterable[Mutant], seeds: Iterable[int], seconds: float, at_once: int
) -> dict[str, dict[int, Catch]]:
    """By mutant and seed."""
    caught: dict[str, dict[int, Catch]] = {}

    def one(mutant: Mutant, seed: int) -> None:
        catch = hunted(mutant, seed, seconds)
        told(mutant.name, seed, catch)
        caught.setdefault(mutant.name, {})[seed] = catch

    # Seed after seed, so that what is there when it is interrupted is of all mutants.
    with ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(one, mutant, seed) for seed in list(seeds) for mutant in mutants]:
            done.result()
    return caught


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="this one (may be repeated)")
    parser.add_argument("--seeds", type=int, metavar="N", help="with N seeds each, to measure the median")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="of one core, for each hunt")
    parser.add_argument("--seed", type=int, help="the first seed (a fresh one)")
    parser.add_argument("--at-once", type=int, default=2, help="hunts side by side")
    arguments = parser.parse_args()
    known = (*MUTANTS, *NOT_FOUND_YET)
    chosen = [each for each in known if each.name in (arguments.only or [each.name for each in MUTANTS])]
    if not chosen:
        parser.error(f"there is no such mutant; there are {', '.join(each.name for each in known)}")
    began = time.monotonic()
    first = SystemRandom().randrange(1, 10**6) if arguments.seed is None else arguments.seed
    seeds = range(first, first + (arguments.seeds or 1))
    caught = hunt_all(chosen, seeds, arguments.seconds, arguments.at_once)
    results = Results.read()
    for mutant in chosen:
        if arguments.seeds is None:
            results.note(mutant.name, caught[mutant.name][first])
        else:
            results.measured(mutant.name, list(caught[mutant.name].values()), arguments.seconds)
    results.keep(known)
    write(results, MUTANTS, NOT_FOUND_YET, BUDGET)
    survivors = [name for name, catches in caught.items() if not any(each.found for each in catches.values())]
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} planted bugs found in {time.monotonic() - began:.0f} s"
        + (f"; SURVIVED: {', '.join(survivors)}" if survivors else "")
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
