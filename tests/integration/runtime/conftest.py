"""One Docker Engine and one registry for these tests alone: they are killed and stopped here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import Docker, Registry
from tests.integration.runtime.world import DockerWorld


@pytest.fixture(scope="package")
def whole_world() -> Iterator[DockerWorld]:
    with Docker() as engine, Registry() as registry:
        world = DockerWorld(engine, registry)
        yield world
        world.close()


@pytest.fixture
def world(whole_world: DockerWorld) -> Iterator[DockerWorld]:
    yield whole_world
    whole_world.clean()
