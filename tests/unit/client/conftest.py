"""One cluster for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World("n1", "n2")
    yield world
    world.close()
