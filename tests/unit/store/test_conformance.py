"""The embedded store does what a real Consul does: the conformance cases, in memory and in a file of several clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roj.environment import RealEnvironment
from roj.store.embedded import EmbeddedStore
from tests.unit.store.conformance import *  # noqa: F403  (the cases)
from tests.unit.store.world import World


@pytest.fixture(params=["memory", "file"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    environment = RealEnvironment()
    memory = EmbeddedStore(environment)  # clients in memory are clones of one
    world = World(
        memory.clone if request.param == "memory" else lambda: EmbeddedStore(environment, tmp_path / "roj.db")
    )
    yield world
    world.close()
    memory.close()
