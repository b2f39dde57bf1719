"""Token buckets, log lines, metrics, kinds."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.api.node import Cluster
from roj.framework.controller import Controller
from roj.framework.kind import Kind
from roj.framework.limits import Limiter, TokenBucket
from roj.framework.log import Form, about, set_up
from roj.framework.metrics import Metrics
from tests.unit.framework.still import Still


@given(st.lists(st.floats(0.0, 3.0), max_size=200), st.floats(0.1, 10.0), st.integers(1, 20))
def test_a_bucket_gives_no_more_than_its_burst_and_its_rate(
    steps: list[float], rate: float, burst: int
) -> None:
    bucket, now, taken = TokenBucket(rate, burst), 0.0, 0
    bucket.until(now)
    for step in steps:
        now += step
        taken += bucket.take(now)
        assert taken <= burst + rate * now + 1e-6


def test_whoever_waits_for_a_limiter_gets_its_rate() -> None:
    still = Still()
    limiter = Limiter(still, rate=2.0, burst=5)
    for _ in range(25):
        limiter.wait()
    assert still.monotonic() == pytest.approx(10.0)


@pytest.fixture
def _log_as_it_was() -> Iterator[None]:
    root, roj = logging.getLogger(), logging.getLogger("roj")
    before = root.handlers[:], root.level, roj.level
    yield
    root.handlers[:], root.level, roj.level = before[0], before[1], before[2]


def logged(form: Form) -> str:
    stream = io.StringIO()
    set_up(Still().now, form=form, stream=stream)
    log = logging.getLogger("roj.controllers.deploy")
    with about(controller="deploy", key="web-abcde", reconcile="1f3a9c0e"):
        log.info("created %s", "web")
        try:
            raise ValueError("a bug")
        except ValueError:
            log.exception("failed")
    log.info("outside")
    return stream.getvalue()


@pytest.mark.usefixtures("_log_as_it_was")
def test_text_lines_say_what_they_are_about() -> None:
    lines = logged("text").splitlines()
    assert lines[0] == "2026-11-22T08:00:00.000Z INFO deploy web-abcde 1f3a9c0e: created web"
    assert lines[-2] == "ValueError: a bug"
    assert lines[-1] == "2026-11-22T08:00:00.000Z INFO controllers.deploy: outside"


@pytest.mark.usefixtures("_log_as_it_was")
def test_json_lines_are_one_object_each() -> None:
    created, failed, outside = [json.loads(line) for line in logged("json").splitlines()]
    assert created == {
        "time": "2026-11-22T08:00:00.000Z",
        "level": "info",
        "logger": "roj.controllers.deploy",
        "message": "created web",
        "controller": "deploy",
        "key": "web-abcde",
        "reconcile": "1f3a9c0e",
    }
    assert failed["error"].endswith("ValueError: a bug")
    assert "controller" not in outside


def test_metrics_are_of_one_registry_and_show_the_queue_as_it_is() -> None:
    still, metrics = Still(), Metrics()
    controller = Controller(still, "deploy", lambda key: None, workers=4, metrics=metrics)
    controller.enqueue("a")
    controller.enqueue("b", after=10.0)
    text = metrics.text()
    assert 'roj_workqueue_depth{name="deploy"} 2.0' in text
    assert 'roj_max_concurrent_reconciles{controller="deploy"} 4.0' in text
    assert 'roj_workqueue_adds_total{name="deploy"} 2.0' in text
    assert "_created" not in text
    assert "roj_workqueue_depth{" not in Metrics().text()


@pytest.mark.parametrize("prefix", ["x", "/x/", ""])
def test_a_prefix_that_takes_in_its_neighbours_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Kind("x", prefix, Cluster)
