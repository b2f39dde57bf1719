"""`roj history`, and what `roj instances` and `roj inspect` tell of changes."""

from __future__ import annotations

import pytest

from roj.api import keys
from roj.api.instance import Instance
from tests.unit.cli.seed import STAMP, WHEN, Seed


@pytest.fixture
def changed(seed: Seed) -> Seed:
    seed.cluster()
    seed.node("n1")
    for version in ("v1", "v2"):
        assert seed.roj("create", f"web:{version}", "nginx:1.27").code == 0
    assert seed.roj("deploy", "web:v1", "n1", "--id", "web", "-m", "new").code == 0
    assert seed.roj("stop", "web").code == 0
    assert seed.roj("upgrade", "web:v2", "web", "-m", "faster").code == 0
    outcomes = [
        {
            "generation": 3,
            "outcome": "failed",
            "when": WHEN,
            "seconds": 61.25,
            "message": "web exited with 1",
        },
        {"generation": 1, "outcome": "launched", "when": WHEN, "seconds": 1.5},
    ]
    record = instance(seed)
    app = record.revisions[1].app
    seed.status("n1", "web", "failed", uid=record.uid, app=app, outcomes=outcomes, observed_generation=3)
    return seed


def instance(seed: Seed) -> Instance:
    entry = seed.store.get(keys.instance("n1", "web"))
    assert entry is not None
    return Instance.decode(entry.value)


def test_history_has_every_change_newest_first_with_its_outcome(changed: Seed) -> None:
    rows = changed.roj("history", "web", "-o", "json").json
    brief = [(row["generation"], row["app"], row["goal"], row["why"], row["outcome"]) for row in rows]
    assert brief == [
        (3, "web:v2", "stop", "faster", "failed"),
        (2, "web:v1", "stop", "", None),
        (1, "web:v1", "start", "new", "launched"),
    ]
    assert (rows[0]["seconds"], rows[0]["ended"], rows[0]["message"]) == (61.25, STAMP, "web exited with 1")
    assert [row["change"] for row in rows] == list(instance(changed).lineage)
    assert (rows[0]["at"], rows[0]["now"]) == (None, False)
    assert changed.roj("history", "n1/web", "-o", "name").out == "3\n2\n1\n"
    titles, first, *_ = changed.roj("history", "we").lines
    assert titles.split() == ["GENERATION", "APP", "GOAL", "OUTCOME", "TOOK", "AGE", "WHO", "WHY", "MESSAGE"]
    assert first.split()[:5] == ["3", "web:v2", "stop", "failed", "61.2s"]
    assert "CHANGE" in changed.roj("history", "web", "-o", "wide").lines[0]
    assert "generation: 3" in changed.roj("history", "web", "-o", "yaml").out


def test_history_of_what_is_not_there_or_not_clear(changed: Seed) -> None:
    assert changed.roj("history", "nothing").code == 4
    assert changed.roj("deploy", "web:v1", "n1", "--id", "web-2").code == 0
    assert changed.roj("history", "we").code == 2


def test_without_a_history_there_is_the_record_itself(changed: Seed) -> None:
    entry = changed.store.get(keys.history("n1", "web"))
    assert entry is not None
    changed.store.delete(entry.key, entry.version)
    assert [row["generation"] for row in changed.roj("history", "web", "-o", "json").json] == [3]
    changed.store.create(entry.key, b"{}")
    assert changed.roj("history", "web").code == 1
    assert changed.roj("inspect", "instance", "web").code == 0


def test_what_runs_is_told_beside_what_should(changed: Seed) -> None:
    [row] = changed.roj("instances", "-o", "json").json
    assert (row["app"], row["observed_app"], row["change"]) == ("web:v2", "web:v1", instance(changed).change)
    assert "web:v2 (web:v1)" in changed.roj("instances").out
    assert changed.roj("deploy", "web:v1", "n1", "--id", "quiet").code == 0
    [row] = [row for row in changed.roj("instances", "-o", "json").json if row["id"] == "quiet"]
    assert (row["app"], row["observed_app"]) == ("web:v1", None)


def test_inspect_has_revisions_outcomes_and_history(changed: Seed) -> None:
    data = changed.roj("inspect", "instance", "web", "-o", "json").json
    assert [each["app"]["version"] for each in data["revisions"]] == ["v2", "v1"]
    assert [each["outcome"] for each in data["outcomes"]] == ["failed", "launched"]
    assert [each["generation"] for each in data["history"]] == [3, 2, 1]
