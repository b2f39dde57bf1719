"""Real engines, one of each for the whole run. Who stops, kills or wipes an engine starts one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import Consul, Docker, Registry, Web


@pytest.fixture(scope="session")
def consul() -> Iterator[Consul]:
    """A Consul server. It is shared: keep to keys of your own, and don't stop it."""
    with Consul() as engine:
        yield engine


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Docker]:
    """A Docker Engine: the machine's if one answers. It is shared: touch only what you made, and don't stop it."""
    with Docker.shared() as engine:
        yield engine


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A registry. It is shared: push under names of your own, and don't stop it."""
    with Registry() as engine:
        yield engine


@pytest.fixture(scope="session")
def web(registry: Registry) -> Web:
    """Images of a small web server in `registry`: `web.tag("v1")` is the reference of one."""
    return Web(registry)
