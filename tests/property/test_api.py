"""Records: what is stored comes back the same, and names are what DESIGN.md says they are."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.api.app import App, AppReference, AppSpec, Container, Port
from roj.api.duration import format_duration, parse_duration
from roj.api.faults import InvalidInput, UnreadableRecord
from roj.api.instance import LINEAGE, REVISIONS, Instance, Write, changed, new_instance, rolled_back, upgraded
from roj.api.names import INSTANCE_ID, check_instance_id, new_instance_id, parse_app_reference
from roj.api.record import FORMAT, digest_of

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
PORTS = st.builds(
    Port,
    container=st.integers(1, 65535),
    host=st.none() | st.integers(1, 65535),
    protocol=st.sampled_from(["tcp", "udp"]),
)
CONTAINERS = st.builds(
    Container,
    name=NAMES,
    image=st.sampled_from(["nginx:1.7.1", "127.0.0.1:5000/web:v1", "a/b@sha256:" + "0" * 64]),
    command=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    env=st.dictionaries(
        st.from_regex(r"[A-Z]{1,8}", fullmatch=True).filter(lambda n: n != "ROJ"), TEXTS, max_size=3
    ),
    ports=st.lists(PORTS, max_size=1).map(tuple),
    volumes=st.sampled_from([(), ("data:/data",), ("/srv:/www:ro",)]),
)
APPS = st.builds(
    App,
    name=NAMES,
    version=VERSIONS,
    containers=st.tuples(CONTAINERS),
    created=MOMENTS,
    created_by=TEXTS,
    why=TEXTS,
)


@given(APPS)
def test_a_stored_app_comes_back_with_the_same_bytes_and_digest(app: App) -> None:
    stored = app.encode()
    again = App.decode(stored)
    assert again == app
    assert again.encode() == stored
    assert again.digest() == digest_of(stored)


@given(NAMES, VERSIONS)
def test_a_reference_is_a_name_and_a_version(name: str, version: str) -> None:
    assert parse_app_reference(f"{name}:{version}") == (name, version)


@given(NAMES, st.integers())
def test_a_new_id_is_a_valid_id_that_begins_with_the_apps_name(name: str, seed: int) -> None:
    id = new_instance_id(name, Random(seed))
    assert INSTANCE_ID.fullmatch(id)
    assert check_instance_id(id) == id


@given(st.lists(st.sampled_from(["start", "stop", "undeploy"]), max_size=30), MOMENTS)
def test_a_change_counts_up_and_keeps_the_lineage_newest_first(goals: list[str], when: datetime) -> None:
    app = AppReference(name="web", version="v1", digest="0" * 64)
    instance = new_instance(id="web-abcde", node="n1", uid="u", write=Write("c0", when), app=app)
    changes = ["c0"]
    for number, goal in enumerate(goals, 1):
        changes.insert(0, f"c{number}")
        instance = changed(instance, Write(f"c{number}", when), goal)  # type: ignore[arg-type]
    assert instance.generation == len(goals) + 1
    assert instance.lineage == tuple(changes[:LINEAGE])
    assert instance.revision.id == "c0"
    assert Instance.decode(instance.encode()) == instance


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_unreadable_and_nothing_else(value: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        App.decode(value)


def test_a_record_of_a_newer_format_is_not_guessed_at() -> None:
    with pytest.raises(UnreadableRecord, match="upgrade roj"):
        App.decode(b'{"format": %d}' % (FORMAT + 1))


def test_every_fault_of_a_file_is_named_at_once_with_its_place() -> None:
    with pytest.raises(InvalidInput) as refused:
        AppSpec.checked(
            {
                "containers": [
                    {"name": "Web", "image": "nginx", "ports": [{"container": 80, "host": 99999}]},
                    {"name": "side", "image": "busybox", "comand": ["sh"]},
                    {"name": "third"},
                ]
            }
        )
    assert [fault.place for fault in refused.value.faults] == [
        "containers[0].name",
        "containers[0].ports[0].host",
        "containers[1].comand",
        "containers[2].image",
    ]


@pytest.mark.parametrize(
    "containers",
    [
        [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}],
        [{"name": "a", "image": "i", "ports": [{"container": 80}, {"container": 80}]}],
        [
            {"name": "a", "image": "i", "ports": [{"container": 80, "host": 8080}]},
            {"name": "b", "image": "i", "ports": [{"container": 80, "host": 8080}]},
        ],
        [{"name": "a", "image": "i", "env": {"ROJ_PORT_80": "1"}}],
        [{"name": "a", "image": "i", "labels": {"roj.uid": "1"}}],
        [{"name": "a", "image": "i", "volumes": ["data"]}],
        [{"name": "a", "image": "Upper/case"}],
        [],
    ],
)
def test_what_cannot_be_meant_is_refused(containers: list[object]) -> None:
    with pytest.raises(InvalidInput):
        AppSpec.checked({"containers": containers})


@given(
    st.lists(st.tuples(st.sampled_from(["upgrade", "rollback", "stop"]), st.integers(0, 2)), max_size=12),
    MOMENTS,
)
def test_a_rollback_sets_a_revision_again_under_its_id_as_the_next_generation(
    steps: list[tuple[str, int]], when: datetime
) -> None:
    def app(number: int) -> AppReference:
        return AppReference(name="web", version=f"v{number}", digest=f"{number:064d}")

    instance = new_instance(id="web-abcde", node="n1", uid="u", write=Write("c0", when), app=app(0))
    for number, (step, which) in enumerate(steps, 1):
        write = Write(f"c{number}", when)
        before = instance
        if step == "upgrade":
            instance = upgraded(before, write, app(number), {})
            assert instance.revision.id == instance.change
        elif step == "rollback":
            back = before.revisions[which % len(before.revisions)]
            instance = rolled_back(before, write, back)
            assert (instance.revision.id, instance.app) == (back.id, back.app)
            assert {each.id for each in instance.revisions} == {each.id for each in before.revisions}
        else:
            instance = changed(before, write, "stop")
            assert instance.revisions == before.revisions
        if step != "stop":
            assert instance.revision.generation == instance.generation
        assert instance.app == instance.revision.app
        assert instance.generation == before.generation + 1
        assert len({each.id for each in instance.revisions}) == len(instance.revisions) <= REVISIONS
    assert Instance.decode(instance.encode()) == instance


@given(st.floats(0, 1e7) | st.integers(0, 10**9).map(lambda n: n / 1000))
def test_a_duration_is_written_so_that_it_reads_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_what_forbids_to_start_first() -> None:
    def app(**container: object) -> AppSpec:
        return AppSpec.checked({"containers": [{"name": "c", "image": "i", **container}]})

    assert app().starts_first
    assert app(ports=[{"container": 80}], volumes=["/srv:/srv:ro"]).starts_first
    assert not app(ports=[{"container": 80, "host": 8080}]).starts_first
    assert not app(volumes=["data:/data"]).starts_first
    written = {
        "containers": [{"name": "c", "image": "i", "volumes": ["data:/data"]}],
        "update": "start-first",
    }
    assert AppSpec.checked(written).starts_first
    with pytest.raises(InvalidInput, match="start-first"):
        AppSpec.checked(
            {
                "containers": [{"name": "c", "image": "i", "ports": [{"container": 80, "host": 80}]}],
                "update": "start-first",
            }
        )
