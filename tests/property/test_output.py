"""Output: whatever the rows hold, JSON parses, tables are aligned, names are names, and stdout has only data."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roj.api.condition import Condition
from roj.api.instance import ContainerStatus
from roj.cli.instances import instance_table
from roj.cli.nodes import node_table
from roj.cli.output import GAP, NOTHING, age, one_line, plain, show_list
from roj.client.rows import InstanceRow, NodeRow

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TEXTS = st.text(max_size=30)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
MOMENTS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
PORTS = st.dictionaries(st.sampled_from(["80/tcp", "web:80/tcp", "53/udp"]), st.integers(1, 65535))
CONDITIONS = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(["DockerReachable", "StoreWentBack"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        message=TEXTS,
        since=st.just(NOW),
    ),
    max_size=2,
).map(tuple)
INSTANCES = st.builds(
    InstanceRow,
    id=NAMES,
    node=NAMES,
    app=st.just("web:v1"),
    goal=st.sampled_from(["", "start", "stop"]),
    phase=st.sampled_from(["launched", "unknown", "unclaimed"]),
    generation=st.integers(0, 99),
    observed_generation=st.integers(0, 99),
    since=MOMENTS,
    message=TEXTS,
    ports=PORTS,
    restarts=st.integers(0, 999),
    next_try=MOMENTS,
    containers=st.lists(
        st.builds(ContainerStatus, name=NAMES, id=NAMES, image=TEXTS, state=TEXTS), max_size=2
    ).map(tuple),
    conditions=CONDITIONS,
)
NODES = st.builds(
    NodeRow,
    name=NAMES,
    ready=st.booleans(),
    since=MOMENTS,
    labels=st.dictionaries(NAMES, TEXTS, max_size=3),
    instances=st.integers(0, 99),
    address=TEXTS,
    versions=st.dictionaries(st.sampled_from(["agent", "docker"]), TEXTS),
    host=TEXTS,
    conditions=CONDITIONS,
    cordoned=st.none(),
    frozen=st.none(),
    forgotten=st.none(),
    message=TEXTS,
)


def shown(show: Callable[[], None]) -> tuple[str, str]:
    """What `show` prints to stdout and stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        show()
    return out.getvalue(), err.getvalue()


@given(st.lists(INSTANCES, max_size=5))
def test_json_of_instances_is_one_document_with_the_promised_fields(rows: list[InstanceRow]) -> None:
    out, _ = shown(lambda: show_list(instance_table(NOW), rows, "json"))
    found = json.loads(out)
    assert [item["id"] for item in found] == [row.id for row in rows]
    promised = {
        "id", "node", "app", "goal", "phase", "generation", "observed_generation", "ports", "restarts", "since",
        "message", "containers",
    }  # fmt: skip
    for item, row in zip(found, rows, strict=True):
        assert promised <= item.keys()
        assert item["message"] == row.message
        assert item["since"] is None or datetime.fromisoformat(item["since"]).tzinfo is not None
        assert all({"name", "id", "image", "state", "ports"} == set(c) for c in item["containers"])


@given(st.lists(NODES, max_size=5))
def test_json_of_nodes_is_one_document_with_the_promised_fields(rows: list[NodeRow]) -> None:
    out, _ = shown(lambda: show_list(node_table(NOW), rows, "json"))
    found = json.loads(out)
    assert [item["name"] for item in found] == [row.name for row in rows]
    for item in found:
        assert {"name", "ready", "since", "labels", "instances", "address", "versions"} <= item.keys()


@given(st.lists(INSTANCES, max_size=3))
def test_yaml_says_what_json_says(rows: list[InstanceRow]) -> None:
    as_json, _ = shown(lambda: show_list(instance_table(NOW), rows, "json"))
    as_yaml, _ = shown(lambda: show_list(instance_table(NOW), rows, "yaml"))
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


@given(st.lists(INSTANCES, max_size=5))
def test_names_are_the_ids_one_a_line(rows: list[InstanceRow]) -> None:
    out, _ = shown(lambda: show_list(instance_table(NOW), rows, "name"))
    assert out.splitlines() == [row.id for row in rows]


@given(st.lists(INSTANCES, min_size=1, max_size=5), st.sampled_from(["table", "wide"]))
def test_a_piped_table_has_a_line_for_each_row_and_its_columns_are_aligned(
    rows: list[InstanceRow], form: str
) -> None:
    table = instance_table(NOW)
    out, _ = shown(lambda: show_list(table, rows, form))
    lines = out.split("\n")
    assert lines.pop() == ""
    columns, cells = table.cells(rows, wide=form == "wide")
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)
    start = 0
    for number, column in enumerate(columns):
        texts = [column.title, *(row[number] for row in cells)]
        assert all(line[start:].startswith(text) for line, text in zip(lines, texts, strict=True))
        start += max(map(len, texts)) + len(GAP)


@given(st.lists(st.lists(st.text(min_size=1, max_size=5), min_size=3, max_size=3), min_size=1, max_size=5))
def test_plain_columns_are_as_wide_as_their_widest_cell(rows: list[list[str]]) -> None:
    rows = [[one_line(cell) or NOTHING for cell in row] for row in rows]
    width = sum(max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]) + 2 * len(GAP)
    for line, row in zip(plain(rows[0], rows[1:]).split("\n"), rows, strict=False):
        assert line == line[:width] + row[-1]
        assert len(line[:width]) == width


@given(TEXTS)
def test_a_cell_is_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable()
    if text.isprintable():
        assert one_line(text) == text


@pytest.mark.parametrize("form", ["table", "wide", "name"])
def test_an_empty_list_says_so_on_stderr_only(form: str) -> None:
    assert shown(lambda: show_list(node_table(NOW), [], form, "None yet.")) == ("", "None yet.\n")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_an_empty_list_is_a_list_for_programs(form: str) -> None:
    out, _ = shown(lambda: show_list(node_table(NOW), [], form, "None yet."))
    parsed: Any = yaml.safe_load(out)
    assert parsed == []


@given(st.integers(-100, 10**9))
def test_an_age_is_a_number_and_a_unit_and_never_negative(seconds: int) -> None:
    text = age(NOW - timedelta(seconds=seconds), NOW)
    assert text[:-1].isdigit()
    length = {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
    assert int(text[:-1]) * length <= max(0, seconds) < (int(text[:-1]) + 1) * length


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (300, "5m"), (7200, "2h"), (172800, "2d"), (3 * 86400, "3d")],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == text
