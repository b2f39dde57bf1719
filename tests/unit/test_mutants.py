"""The planted bugs of `make mutants` still fit the code: each text is where it is said to be, and once."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tests.property.mutants.catalogue import MUTANTS, NOT_FOUND_YET
from tests.property.mutants.mutant import Mutant

SOURCES = Path(__file__).parents[2]


def test_there_are_enough_and_each_has_its_name() -> None:
    assert len(dict.fromkeys(each.name for each in MUTANTS)) == len(MUTANTS) >= 25
    assert sum(each.interleaved for each in MUTANTS) >= 5


@pytest.mark.parametrize("mutant", (*MUTANTS, *NOT_FOUND_YET), ids=lambda each: each.name)
def test_a_mutant_fits_the_code(mutant: Mutant, tmp_path: Path) -> None:
    for edit in mutant.edits:
        copy = tmp_path / "roj" / edit.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES / "roj" / edit.file, copy)
    mutant.apply(tmp_path)
    for edit in mutant.edits:
        ast.parse((tmp_path / "roj" / edit.file).read_text(encoding="utf-8"))
