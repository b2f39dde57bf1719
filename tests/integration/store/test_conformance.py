"""A real Consul, through roj's client, does what the conformance cases say: so they are true."""

from __future__ import annotations

import pytest

from tests.unit.store.conformance import *  # noqa: F403  (the cases)

pytestmark = pytest.mark.engines
