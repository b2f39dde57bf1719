"""Whatever a file of others says, the importers take it, change it or refuse it: no traceback, no hang, and no value of
it that the report leaves out; and what they make is an app."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roj.api.app import AppSpec
from roj.api.faults import Fault, InvalidInput
from roj.cli.export import written
from roj.cli.flags import parsed
from roj.importers.compose import import_compose
from roj.importers.compose_fields import DEPLOY_LEFT_OUT, LEFT_OUT, REFUSED
from roj.importers.compose_project import Surroundings
from roj.importers.compose_service import READERS
from roj.importers.helios import READERS as JOB
from roj.importers.helios import ROLLOUT, import_helios
from roj.importers.notes import Imported
from roj.importers.reading import tree_of
from tests.unit.importers.accounted import unaccounted

LONGEST = 5.0
"""Seconds that an import may take: far more than any does, far less than a hang."""

TEXTS = st.sampled_from(
    [
        "", "a", "web", "nginx:1.27", "80", "80:80", "127.0.0.1:80:80", "8000-8010:80-90", "1-65535", "53/udp", "data:/data",
        "./x:/x:ro", "~/x:/y", "/var/lib", "/a:/b:z", "KEY=VALUE", "KEY", "$KEY", "${KEY:-x}", "${KEY?no}", "${", "$${KEY}",
        "${A:-${B:-${C}}}", "'", '"a b', "true", "no", "10s", "-1", "0", "512m", "service_healthy", "host", "none", "sctp",
        "/run:size=1m", "NET_ADMIN", "db:10.0.0.1", "db=[::1]", "web:v1:abc", "x.env", "missing.env",
    ]
) | st.text(max_size=12)  # fmt: skip
SCALARS = TEXTS | st.none() | st.booleans() | st.integers(-2, 70000) | st.floats() | st.just(10**4000)
KEYS = st.sampled_from(
    sorted({
        *READERS, *LEFT_OUT, *REFUSED, *DEPLOY_LEFT_OUT, "a", "x-a", "web", "db", "source", "target", "type", "published",
        "protocol", "host_ip", "read_only", "size", "mode", "soft", "hard", "nofile", "condition", "required", "limits",
        "reservations", "memory", "resources", "driver", "options", "external", "name", "path", "format", "aliases", "bind",
        "replicas", "restart_policy", "overlap", "data", "tmpfs", "consistency",
    })
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=12,
)
SERVICES = st.dictionaries(
    st.sampled_from(["web", "db", "x-web", "-", "w.e.b"]),
    st.dictionaries(
        st.sampled_from(sorted({*READERS, *LEFT_OUT, *REFUSED, "x-a", "nonsense"})), VALUES, max_size=6
    )
    | VALUES,
    min_size=1,
    max_size=3,
)
FILES = st.fixed_dictionaries(
    {"services": SERVICES},
    optional=dict.fromkeys(
        ("name", "version", "volumes", "networks", "secrets", "configs", "include", "x-a", "b"), VALUES
    ),
)
JOBS = st.dictionaries(st.sampled_from(sorted({*JOB, "nonsense"})), VALUES, max_size=8) | VALUES
BESIDE = {
    "/srv/.env": "KEY=value\n",
    "/srv/x.env": "A=1\nB='$A'\nexport C=\"x\\ny\"\nD\n",
    "/srv/a": "= no\n",
}


def read(path: str) -> str:
    if path not in BESIDE:
        raise FileNotFoundError(2, "No such file or directory")
    return BESIDE[path]


AROUND = Surroundings("/srv", {"HOME": "/home/me", "A": "1"}, read)


def check(document: object, imported: Imported) -> None:
    tree = tree_of(document, "")
    assert unaccounted(tree, [note.place for note in imported.notes]) == []
    assert (imported.spec is not None) or not imported.whole
    for note in imported.notes:
        assert note.kind == "taken" or note.words
    if imported.spec is not None:
        assert AppSpec.checked(parsed(written(imported.spec), "", [])) == imported.spec


@settings(max_examples=200, deadline=None)
@given(FILES | VALUES, st.lists(st.sampled_from(["web", "db", "none"]), max_size=1))
@example({"services": {"web": {"image": "i", "ports": ["1-900:1-900", "1-900"]}}}, [])
@example({"services": {"web": {"image": "i", "command": "${A" * 1000}}}, [])
@example({"services": {"a": {"image": "i", "depends_on": ["b"]}, "b": {"image": "i", "links": ["a"]}}}, [])
def test_compose(document: object, services: list[str]) -> None:
    began = time.monotonic()
    try:
        imported = import_compose(document, AROUND, "f", services=services)
    except InvalidInput as refused:
        assert refused.faults
    else:
        check(document, imported)
    assert time.monotonic() - began < LONGEST


@settings(max_examples=200, deadline=None)
@given(JOBS)
def test_helios(document: object) -> None:
    began = time.monotonic()
    try:
        imported = import_helios(document, "f")
    except InvalidInput as refused:
        assert refused.faults
    else:
        check(document, imported)
    assert time.monotonic() - began < LONGEST
    assert ROLLOUT


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join([f'*{chr(97 + n)}'] * 50)}], k{n}: 1}}\n"
    for n in range(24)
)
ITSELF = "services: &a\n  web: *a\n"
DEEP = "services: " + "[" * 500 + "]" * 500
MANY = "services: {web: {image: i, command: '" + "${A}" * 50_000 + "'}}"
NESTED = "services: {web: {image: i, command: '" + "${A:-" * 5000 + "}" * 5000 + "'}}"
UNMATCHED = "services: {web: {image: i, command: '" + "${" * 50_000 + "'}}"


@pytest.mark.parametrize(
    "text", [LAUGHS, MERGES, ITSELF, DEEP, MANY, NESTED, UNMATCHED], ids=["laughs", "merges", "itself", "deep", "many", "nested", "unmatched"]
)  # fmt: skip
def test_what_is_made_to_hang(text: str) -> None:
    began = time.monotonic()
    faults: list[Fault] = []
    try:
        imported = import_compose(parsed(text, "f", faults), AROUND, "f")
    except InvalidInput as refused:
        assert refused.faults
    else:
        assert imported.notes
    assert time.monotonic() - began < LONGEST
