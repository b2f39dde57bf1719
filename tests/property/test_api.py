"""Records: what is stored comes back the same, and names are what DESIGN.md says they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roj.api.app import App, AppReference, AppSpec, Container, Port
from roj.api.duration import format_duration, parse_duration
from roj.api.faults import InvalidInput, UnreadableRecord
from roj.api.image import check_image
from roj.api.instance import LINEAGE, REVISIONS, Instance, Write, changed, new_instance, rolled_back, upgraded
from roj.api.names import INSTANCE_ID, check_instance_id, new_instance_id, parse_app_reference
from roj.api.options import LEAST_MEMORY, Logging, Resources, Stop
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
    entrypoint=st.none() | st.just(("/init", "")),
    workdir=st.sampled_from([None, "/srv"]),
    user=st.sampled_from([None, "nobody", "1000:1000"]),
    tmpfs=st.sampled_from([(), ("/run:size=64m",)]),
    cap_drop=st.sampled_from([(), ("ALL",), ("NET_RAW", "CHOWN")]),
    extra_hosts=st.sampled_from([{}, {"db": "10.0.0.1", "node": "host-gateway"}]),
    resources=st.builds(
        Resources,
        memory=st.none() | st.integers(LEAST_MEMORY, 2**40),
        cpus=st.none() | st.floats(0.01, 64),
        shm=st.none() | st.integers(1, 2**34),
        ulimits=st.sampled_from(
            [{}, {"nofile": {"soft": 1024, "hard": 4096}, "core": {"soft": 0, "hard": 0}}]
        ),
    ),
    stop=st.builds(
        Stop,
        signal=st.sampled_from([None, "TERM", "QUIT"]),
        grace=st.integers(0, 3600000).map(lambda n: n / 1000),
    ),
    logging=st.sampled_from([Logging(), Logging(driver="journald", options={})]),
    pull=st.sampled_from(["missing", "never"]),
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


@pytest.mark.parametrize("value", [rb'{"format": 1, "\ud800": 1}', rb'{"format": 1, "name": {"\ud800": 1}}'])
def test_a_record_with_half_a_character_is_unreadable(value: bytes) -> None:
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


def _app_without_faults() -> dict[str, Any]:
    return {
        "containers": [
            {
                "name": name,
                "image": "nginx:1.27",
                "command": ["sh", "-c", "true"],
                "ports": [
                    {"container": 80, "host": first, "name": "http"},
                    {"container": 81, "host": first + 1, "name": "admin"},
                ],
                "env": {"A": "1"},
                "labels": {"team": "x"},
                "volumes": ["data:/data", "/srv:/www:ro"],
            }
            for name, first in (("web", 8000), ("side", 9000))
        ]
    }


def _put(*path: str | int, value: object) -> Callable[[Any], None]:
    def spoil(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        if isinstance(content, list) and path[-1] == len(content):
            content.append(value)
        else:
            content[path[-1]] = value

    return spoil


WEB, SIDE = ("containers", 0), ("containers", 1)
# Each can be told whatever the others are: none spoils a field that another needs.
SPOILT = [
    (_put("version", value=2), "version: is not known here"),
    (_put("update", value="start-first"), "update: start-first: two revisions cannot have"),
    (_put("launch_timeout", value=[]), "launch_timeout: "),
    (_put(*WEB, "comand", value=["x"]), "containers[0].comand: is not known here"),
    (_put(*WEB, "image", value="Nginx"), "containers[0].image: 'Nginx' is no image reference"),
    (_put(*SIDE, "image", value=None), "containers[1].image: is empty"),
    (_put(*WEB, "env", "B", value=5), "containers[0].env.B: is to be a text: put it in quotes"),
    (_put(*WEB, "env", 7, value="x"), "containers[0].env: the key 7 is to be a text"),
    (_put(*SIDE, "env", "ROJ_X", value="x"), "containers[1].env.ROJ_X: names beginning with ROJ_"),
    (_put(*SIDE, "env", "A B", value="x"), "containers[1].env.A B: 'A B' is not a name"),
    (_put(*SIDE, "env", "C", value="\0"), "containers[1].env.C: must not contain a zero byte"),
    (_put(*WEB, "labels", value="x"), "containers[0].labels: is to be a mapping"),
    (_put(*SIDE, "labels", "roj.x", value="x"), "containers[1].labels.roj.x: labels beginning with roj."),
    (_put(*WEB, "command", value="sh -c true"), "containers[0].command: is to be a list"),
    (_put(*SIDE, "command", 1, value="\ud800"), "containers[1].command[1]: '\\ud800' is no text in UTF-8"),
    (_put(*WEB, "ports", 0, "protocol", value="sctp"), "containers[0].ports[0].protocol: is 'sctp': write tcp or udp"),
    (_put(*WEB, "ports", 0, "host", value=70000), "containers[0].ports[0].host: 70000 is no port: 1 to 65535"),
    (_put(*WEB, "ports", 2, value="82:82"), "containers[0].ports[2]: is to be a mapping"),
    (_put(*SIDE, "ports", 2, value={"container": "83"}), "containers[1].ports[2].container: is to be a whole number"),
    (_put(*WEB, "volumes", 0, value="data"), "containers[0].volumes[0]: 'data': write SRC:DST"),
    # Between fields, which pydantic would not have come to.
    (_put(*SIDE, "name", value="web"), "containers[1].name: another container is called 'web', too"),
    (_put(*SIDE, "ports", 0, "container", value=81), "containers[1].ports[1]: port 81/tcp is published twice"),
    (_put(*SIDE, "ports", 1, "name", value="http"), "containers[1].ports[1].name: another port is called 'http', too"),
    (_put(*SIDE, "ports", 1, "host", value=8001), "containers[1].ports[1].host: port 8001/tcp of the node is asked for"),
    (_put(*SIDE, "volumes", 1, value="/a:/data/"), "containers[1].volumes[1]: another volume is at '/data/', too"),
]  # fmt: skip


@given(st.sets(st.integers(0, len(SPOILT) - 1), min_size=1))
def test_of_any_faults_together_all_are_told(chosen: set[int]) -> None:
    content = _app_without_faults()
    AppSpec.checked(content)
    for number in chosen:
        SPOILT[number][0](content)
    with pytest.raises(InvalidInput) as refused:
        AppSpec.checked(content)
    told = [str(fault) for fault in refused.value.faults]
    for number in chosen:
        assert sum(text.startswith(SPOILT[number][1]) for text in told) == 1, (SPOILT[number][1], told)
    assert len(told) == len(chosen)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just("\ud800")
    | st.binary(max_size=4)
    | st.dates()
    | st.just(10**30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*AppSpec.model_fields, *Container.model_fields, *Port.model_fields])
            | st.text(max_size=4)
            | st.just("\ud800")
            | st.integers(0, 3)
            | st.none(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(Container.model_fields, VALUES))
PYTHONS_WORDS = re.compile(
    r"Input should|Value error|valid (string|tuple|dict|integer)|NoneType|instance of|sys\.|Exceeds|something else"
)


@settings(max_examples=300)
@given(
    VALUES
    | st.fixed_dictionaries(
        {"containers": st.lists(FIELDS, max_size=3) | VALUES},
        optional=dict.fromkeys([field for field in AppSpec.model_fields if field != "containers"], VALUES),
    )
)
def test_whatever_is_refused_is_refused_in_words_for_people(content: object) -> None:
    try:
        AppSpec.checked(content)
    except InvalidInput as refused:
        assert refused.faults
        for fault in refused.faults:
            assert not PYTHONS_WORDS.search(fault.problem), fault
            assert fault.problem[0].islower() or not fault.problem[0].isalpha(), fault


@pytest.mark.parametrize(
    "image",
    [
        "nginx", "nginx:1.7.1", "library/nginx", "localhost/web", "127.0.0.1:5000/web:v1", "[::1]:5000/a/b", "h:1/a__b",
        "reg.example.com/team/web", "a/b@sha256:" + "0" * 64, "a:b@sha256:" + "0" * 64,
    ],
)  # fmt: skip
def test_an_image_is_named_as_docker_names_it(image: str) -> None:
    assert check_image(image) == image


@pytest.mark.parametrize(
    "image",
    [
        "", " ", "nginx:", ":v1", "Nginx", "Upper/case", "a//b", "/a", "a/", "a b", "a\n", "nginx@sha256:0", "a:b:c",
        "http://a/b", "a:" + "x" * 129, "a..b", "-a", "a" * 10_000, "\uff41",
    ],
)  # fmt: skip
def test_what_names_no_image_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match="is no image reference"):
        check_image(image)


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
