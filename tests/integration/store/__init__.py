"""The conformance cases, told of in full when they fail."""

import pytest

pytest.register_assert_rewrite("tests.unit.store.conformance")
