"""`<<` in a YAML file: what is merged, what stands twice, and what would grow beyond all bounds."""

from __future__ import annotations

import pytest

from roj.api.faults import Fault, InvalidInput
from roj.cli.flags import parsed


def read(text: str) -> tuple[object, list[Fault]]:
    faults: list[Fault] = []
    return parsed(text, "f", faults), faults


def test_a_key_of_its_own_goes_before_one_that_is_merged() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: [*b, {z: 3, x: 9}], k: 4}\n"
    content, faults = read(text)
    assert content == {"a": {"x": 1, "y": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2, "z": 3, "k": 4}}
    assert faults == []


def test_what_stands_twice_is_told_beside_a_merge() -> None:
    content, faults = read("a: &a {x: 1}\nb: {<<: *a, y: 2, y: 3}\n")
    assert content == {"a": {"x": 1}, "b": {"x": 1, "y": 3}}
    assert [str(fault) for fault in faults] == ["f: line 2, column 19: the key 'y' stands twice"]


def test_merges_have_an_end() -> None:
    with pytest.raises(InvalidInput, match="more than 100"):
        read("a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 101) + "]}\n")
    with pytest.raises(InvalidInput, match="too much is merged"):
        keys = ", ".join(f"k{n}: 1" for n in range(1000))
        read(f"a: &a {{{keys}}}\n" + "".join(f"b{n}: {{<<: *a}}\n" for n in range(210)))
