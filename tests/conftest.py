"""What all tests share: hypothesis without deadlines, no settings of the user's, and real engines.

The engines are one of each for the whole run. Who stops, kills or wipes one starts one of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from engines import Consul, Docker, Registry, Web

settings.register_profile("roj", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roj")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell without job control starts what it puts into the background so, and commands under test would inherit it:
    # those that are sent Ctrl-C would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CONSUL_", "ROJ_", "DOCKER_")):
            monkeypatch.delenv(name)


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
