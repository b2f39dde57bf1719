"""docs/promises.md is true: each promise of the contract has its section, and the tests that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2]
PAGE = (SOURCES / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = re.findall(
    r"^\| (P\d+ [^|]+) \|", (SOURCES / "docs" / "DESIGN.md").read_text(encoding="utf-8"), re.M
)
SECTIONS = {
    part.partition("\n")[0]: part.partition("\n")[2] for part in re.split(r"^## ", PAGE, flags=re.M)[1:]
}
SIMULATION = "tests/property/test_promises.py"
PARTS = ("**Says.**", "**Assumes.**", "**Does not say.**", "**Held by.**", "**You may conclude.**")


def named(section: str) -> dict[str, list[str]]:
    """The tests that a section names, by their file."""
    found: dict[str, list[str]] = {}
    for item in re.findall(r"^- (.+(?:\n  .+)*)", section, re.M):
        file, *tests = re.findall(r"`([^`]+)`", item)
        found[file] = tests
    return found


def cases(name: str) -> list[str]:
    """The keys of a dictionary of scenarios in the simulation's test."""
    text = (SOURCES / SIMULATION).read_text(encoding="utf-8")
    body = text.partition(f"\n{name} = {{\n")[2].partition("\n}\n")[0]
    return re.findall(r'^    "(.+?)": ', body, re.M)


CASES = {"test_promise": cases("PROPERTIES"), "test_what_was_found_before": cases("REGRESSIONS")}


def test_every_promise_has_its_section() -> None:
    assert len(PROMISES) == 12
    assert [title for title in SECTIONS if re.match(r"P\d", title)] == PROMISES


@pytest.mark.parametrize("promise", PROMISES)
def test_a_section_says_all_and_names_tests_that_are_there(promise: str) -> None:
    section = SECTIONS[promise]
    assert [section.count(part) for part in PARTS] == [1] * len(PARTS)
    tests = named(section)
    assert any(tests.values())
    for file, names in tests.items():
        text = (SOURCES / file).read_text(encoding="utf-8")
        for name in names:
            function, _, case = name.partition("[")
            assert re.search(rf"^ *def {function}\(", text, re.M), f"{file}: {name}"
            if case:
                assert case.strip('"]') in CASES[function], f"{file}: {name}; there are {CASES[function]}"


def test_every_property_of_the_simulation_is_named() -> None:
    said = [name for section in SECTIONS.values() for name in named(section).get(SIMULATION, [])]
    missing = [name for name in CASES["test_promise"] if f'test_promise["{name}"]' not in said]
    assert missing == [], "name them in docs/promises.md"
