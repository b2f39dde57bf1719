"""The simulated runtime does what a real Docker Engine does: the conformance cases, and its own test handles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.runtime.conformance import *  # noqa: F403  (the cases)
from tests.unit.runtime.world import SimulatedWorld


@pytest.fixture
def world() -> Iterator[SimulatedWorld]:
    yield SimulatedWorld()
