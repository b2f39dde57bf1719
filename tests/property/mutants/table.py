"""The table of planted bugs in docs/promises.md, made of what was measured (results.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from statistics import median

from tests.property.mutants.hunt import Catch
from tests.property.mutants.mutant import Mutant

DATA = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[3] / "docs" / "promises.md"
BEGIN, END = "<!-- mutants:begin -->\n", "<!-- mutants:end -->\n"


@dataclass(slots=True)
class Measured:
    """One mutant, hunted with many seeds."""

    seeds: int
    found: int
    seconds: float
    """The most that a hunt had."""
    median_seconds: float | None
    """To be found, of one core; None: less than half of the hunts found it."""
    median_examples: int | None
    oracles: dict[str, int]
    """How often which one found it."""


@dataclass(slots=True)
class Results:
    """By mutant."""

    last: dict[str, Catch] = field(default_factory=dict)
    many: dict[str, Measured] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Results:
        """What was kept."""
        if not DATA.exists():
            return cls()
        data = json.loads(DATA.read_text(encoding="utf-8"))
        return cls(
            {name: Catch(**each) for name, each in data["last"].items()},
            {name: Measured(**each) for name, each in data["many"].items()},
        )

    def note(self, name: str, catch: Catch) -> None:
        """The ordinary run: one hunt each."""
        catch.words = catch.words[:300]
        self.last[name] = catch

    def measured(self, name: str, catches: Sequence[Catch], seconds: float) -> None:
        """Hunts with many seeds, of at most so many seconds each."""
        found = [each for each in catches if each.found]
        times = median([each.seconds if each.found else inf for each in catches])
        examples = median([each.examples if each.found else inf for each in catches])
        oracles: dict[str, int] = {}
        for each in found:
            oracle = f"{each.promise} {each.oracle}"
            oracles[oracle] = oracles.get(oracle, 0) + 1
        self.many[name] = Measured(
            len(catches),
            len(found),
            seconds,
            None if times == inf else round(times, 1),
            None if examples == inf else round(examples),
            dict(sorted(oracles.items(), key=lambda item: -item[1])),
        )

    def keep(self, mutants: Sequence[Mutant]) -> None:
        """Write it down, without mutants that are no more."""
        names = [each.name for each in mutants]
        data = {
            "last": {name: asdict(self.last[name]) for name in names if name in self.last},
            "many": {name: asdict(self.many[name]) for name in names if name in self.many},
        }
        DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write(results: Results, mutants: Sequence[Mutant], hard: Sequence[Mutant], budget: float) -> None:
    """Put the table in its place in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no place for the table of planted bugs: {BEGIN}{END}")
    PAGE.write_text(before + begin + table(results, mutants, hard, budget) + end + after, encoding="utf-8")


def table(results: Results, mutants: Sequence[Mutant], hard: Sequence[Mutant], budget: float) -> str:
    """The whole of it, with what it says in sum."""
    last = [results.last[each.name] for each in mutants if each.name in results.last]
    quick = sum(each.found and each.seconds <= budget / 5 for each in last)
    lines = [
        f"{len(mutants)} bugs are planted, {sum(each.interleaved for each in mutants)} of them (marked *) such as are found "
        "only where somebody else acts",
        "between two steps of one handler or command. `make mutants` plants one at a time in a copy of the tree, and the",
        f"properties take turns, in an order drawn anew, for at most {budget:.0f} s of one core, which is what CI gives them. "
        "It fails if",
        f"one survives. Below is the last hunt of each, with one seed: {sum(each.found for each in last)} of {len(last)} found, {quick} of them within "
        f"a fifth of that ({budget / 5:.0f} s).",
        *_of_seeds(results, budget),
        "",
        "| planted bug | in | found by | examples | seconds |",
        "|---|---|---|---|---|",
    ]
    for each in mutants:
        catch = results.last.get(each.name)
        files = ", ".join(dict.fromkeys(f"`{edit.file}`" for edit in each.edits))
        row = [f"{each.mistake}{' *' if each.interleaved else ''}", files]
        if catch is None:
            row += ["", "", ""]
        elif catch.found:
            row += [f"{catch.promise} {catch.oracle}", str(catch.examples), f"{catch.seconds:.1f}"]
        else:
            row += ["**survived**", str(catch.examples), f"{catch.seconds:.1f}"]
        lines.append(f"| {' | '.join(row)} |")
    if hard:
        lines += ["", f"{len(hard)} more are known that the budget is too small for, as it is now:", ""]
        lines += [f"- {each.mistake} (`{each.edits[0].file}`)" for each in hard]
    return "\n".join(lines) + "\n"


def _of_seeds(results: Results, budget: float) -> list[str]:
    """What `--seeds` measured."""
    if not results.many:
        return []
    medians = [each.median_seconds for each in results.many.values()]
    quick = sum(each is not None and each <= budget / 5 for each in medians)
    seeds = min(each.seeds for each in results.many.values())
    return [
        f"With {seeds} seeds or more each, the median of {quick} of the {len(medians)} bugs measured is at most a fifth of "
        "the budget (`results.json`)."
    ]
