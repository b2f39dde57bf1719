"""How long a container has run, where the process is interrupted between its looks at Docker and the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from roj.controllers.look import Uptimes
from roj.runtime.interface import ContainerDetails
from tests.unit.framework.still import START, Still

FOUND = ContainerDetails(
    id="c1", name="web", image="web", image_id="i1", state="running", labels={}, ports=(), networks=(),
    started_at=START,
)  # fmt: skip


def test_time_since_dockers_answer_does_not_count() -> None:
    still = Still()
    uptimes = Uptimes(still)
    still.advance(0.7)
    before = uptimes.before()
    still.advance(30.0)  # the process is interrupted; the container may have ended since
    assert round(uptimes.of(FOUND, before), 3) == 0.7
    assert round(uptimes.of(FOUND, uptimes.before()), 3) == 30.7


def test_a_container_that_was_started_while_docker_was_asked_is_new() -> None:
    still = Still()
    uptimes = Uptimes(still)
    before = uptimes.before()
    still.advance(5.0)
    assert uptimes.of(replace(FOUND, started_at=START + timedelta(seconds=4.0)), before) == 0.0
    still.advance(1.0)
    assert uptimes.of(replace(FOUND, started_at=START + timedelta(seconds=4.0)), uptimes.before()) == 1.0
