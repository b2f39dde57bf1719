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


def write(results: Results, mutants: Sequence[Mutant], budget: float) -> None:
    """Put the table in its place in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no place for the table of planted bugs: {BEGIN}{END}")
    PAGE.write_text(before + begin + table(results, mutants, budget) + end + after, encoding="utf-8")


def table(results: Results, mutants: Sequence[Mutant], budget: float) -> str:
    """The whole of it, with what it says in sum."""
    medians = [
        many.median_seconds if many.median_seconds is not None else inf for many in results.many.values()
    ]
    quick = sum(each <= budget / 5 for each in medians)
    lines = [
        f"{len(mutants)} planted bugs, {sum(each.interleaved for each in mutants)} of them (marked *) to be found only where",
        "somebody else acts between two steps of one handler or command. `make mutants` plants each in a copy of the tree",
        f"and has the properties take turns for {budget:.0f} s of one core, which is what CI gives them; it fails if one",
        'survives. The medians are of `make mutants ARGUMENTS="--seeds 20"`: '
        f"{quick} of the {len(medians)} measured are at most",
        f"a fifth of the budget ({budget / 5:.0f} s).",
        "",
        "| planted bug | in | found by | examples | seconds | median of seeds |",
        "|---|---|---|---|---|---|",
    ]
    for each in mutants:
        last, many = results.last.get(each.name), results.many.get(each.name)
        files = ", ".join(dict.fromkeys(f"`{edit.file}`" for edit in each.edits))
        star = " *" if each.interleaved else ""
        row = [f"{each.mistake}{star}", files]
        if last is None:
            row += ["", "", ""]
        elif last.found:
            row += [f"{last.promise} {last.oracle}", str(last.examples), f"{last.seconds:.1f}"]
        else:
            row += ["**survived**", str(last.examples), f"{last.seconds:.1f}"]
        row.append(_of_many(many))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _of_many(many: Measured | None) -> str:
    if many is None:
        return ""
    if many.median_seconds is None:
        return f"over {many.seconds:.0f} s ({many.found} of {many.seeds} found)"
    return f"{many.median_seconds:.1f} s ({many.found} of {many.seeds} found)"
