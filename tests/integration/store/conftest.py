"""A real Consul as the store under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import Consul
from roj.environment import RealEnvironment
from roj.store.address import open_store
from tests.unit.store.world import World


@pytest.fixture
def world(consul: Consul) -> Iterator[World]:
    world = World(lambda: open_store(consul.store_url, RealEnvironment(), {}))
    yield world
    world.close()
