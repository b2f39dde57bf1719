"""What an agent reports of its node: only what changed, and in words that readers show."""

from __future__ import annotations

import pytest

from roj.agent.node_status import NodeStatusReport
from roj.api import keys
from roj.api.node import NodeStatus
from roj.api.record import Record
from roj.framework.reporter import Reporter
from tests.unit.framework.still import FakeStore, Still, World


class Told(Reporter):
    """A reporter that only keeps what it is told."""

    def __init__(self, still: Still, written: list[NodeStatus]) -> None:
        super().__init__(still, FakeStore(World(still)), "n1")
        self._written = written

    def status(self, key: str, record: Record, *, transient: bool = False) -> None:
        assert key == keys.node_status("n1")
        assert isinstance(record, NodeStatus)
        self._written.append(record)


class Node:
    """A node's report, and what it told the reporter."""

    def __init__(self) -> None:
        still = Still(0)
        self.written: list[NodeStatus] = []
        self.report = NodeStatusReport(still, "n1", Told(still, self.written), address=lambda: "10.0.0.1")
        self.report.joined()
        self.written.clear()


@pytest.fixture
def node() -> Node:
    return Node()


def test_the_clock_is_written_when_its_step_is_another(node: Node) -> None:
    for words in ("", "", "synchronised, within 10ms", "synchronised, within 10ms", "not synchronised"):
        node.report.clock(words)
    assert [status.clock for status in node.written] == ["synchronised, within 10ms", "not synchronised"]


def test_a_store_that_went_back_is_a_condition_until_it_is_right_again(node: Node) -> None:
    node.report.record(None)
    assert node.written == [], "nothing to say"
    node.report.record("it went back")
    node.report.record("it went back")
    (status,) = node.written
    (condition,) = status.conditions
    assert (condition.type, condition.status, condition.message) == ("StoreWentBack", "True", "it went back")
    node.report.record(None)
    (condition,) = node.written[-1].conditions
    assert (condition.type, condition.status, condition.message) == ("StoreWentBack", "False", "")
