"""One cluster on the engines of the whole run.

Every test takes node names, ids and ports of its own (`Site.name`, `free_port`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines import Consul, Docker, Web
from engines.program import free_ports
from tests.e2e.harness import Machine, Roj, Site

_count = itertools.count(1)


@pytest.fixture(scope="session")
def machine(docker_engine: Docker) -> Iterator[Machine]:
    """The shared Docker Engine as a test looks at it."""
    found = Machine(docker_engine)
    yield found
    found.close()


@pytest.fixture(scope="module")
def module_site(
    consul: Consul,
    docker_engine: Docker,
    machine: Machine,
    web: Web,
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """Names and a directory for what the tests of one module share."""
    directory = tmp_path_factory.mktemp("agents")
    return Site(Roj(consul.store_url), docker_engine, machine, web, directory, f"t{next(_count)}")


@pytest.fixture
def site(consul: Consul, docker_engine: Docker, machine: Machine, web: Web, tmp_path: Path) -> Site:
    """Names and a directory for one test, on the shared engines."""
    return Site(Roj(consul.store_url), docker_engine, machine, web, tmp_path, f"t{next(_count)}")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Picks a port that nothing listens on."""
    return lambda: free_ports(1, "127.0.0.1")[0]
