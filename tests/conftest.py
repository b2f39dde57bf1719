"""What all tests share: hypothesis without deadlines, and no settings of the user's."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("roj", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roj")


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CONSUL_", "ROJ_", "DOCKER_")):
            monkeypatch.delenv(name)
