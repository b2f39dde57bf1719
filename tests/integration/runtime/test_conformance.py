"""A real Docker Engine, through roj's runtime, does what the conformance cases say: so they are true."""

from __future__ import annotations

import pytest

from tests.unit.runtime.conformance import *  # noqa: F403  (the cases)

pytestmark = pytest.mark.engines
