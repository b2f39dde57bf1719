"""`--dry-run` of every command that writes: it refuses as ever, says what would be, and writes nothing."""

from __future__ import annotations

import click
import pytest

from roj.api import keys
from roj.api.instance import Instance
from roj.cli.main import COMMANDS, main
from tests.unit.cli.seed import Seed


@pytest.fixture
def cluster(seed: Seed) -> Seed:
    seed.cluster()
    seed.node("n1")
    for words in (
        ("create", "web:v1", "nginx:1.27"),
        ("create", "web:v2", "nginx:1.28"),
        ("create", "old:v1", "nginx:1.1"),
        ("deploy", "web:v1", "n1", "--id", "web"),
        ("deploy", "web:v1", "n1", "--id", "up"),
        ("upgrade", "web:v2", "up"),
        ("deploy", "web:v1", "n1", "--id", "off"),
        ("stop", "off"),
    ):
        done = seed.roj(*words)
        assert done.code == 0, done.err
    record = instance(seed, "web").model_copy(update={"id": "lost", "uid": "u9"})
    seed.status("n1", "lost", "unclaimed", uid="u9", goal=None, believed=record)
    return seed


def instance(seed: Seed, id: str) -> Instance:
    entry = seed.store.get(keys.instance("n1", id))
    assert entry is not None
    return Instance.decode(entry.value)


def everything(seed: Seed) -> list[tuple[str, bytes]]:
    return [(entry.key, entry.value) for entry in seed.store.list(keys.ROOT).entries]


CHANGES = [
    ["create", "web:v3", "nginx:1.29"],
    ["deploy", "web:v1", "n1"],
    ["deploy", "web:v1", "n1", "--id", "new", "--wait"],
    ["start", "off"],
    ["stop", "web", "--wait"],
    ["undeploy", "web"],
    ["undeploy", "--app", "web"],
    ["upgrade", "web:v2", "web", "--wait"],
    ["rollback", "up"],
    ["adopt", "lost"],
    ["remove", "old:v1"],
    ["rollout", "start", "r", "--to", "web:v2", "--app", "web:v1"],
]


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_what_would_change_ends_with_10_if_that_is_asked_for(cluster: Seed, words: list[str]) -> None:
    before = everything(cluster)
    done = cluster.roj(*words, "--dry-run")
    assert done.code == 0, done.err
    assert "would" in done.err
    assert cluster.roj(*words, "--dry-run", "--exit-code").code == 10
    assert everything(cluster) == before
    assert cluster.roj(*words, "--exit-code").code == 2
    assert everything(cluster) == before
    done = cluster.roj(
        *[word for word in words if word != "--wait"], *(["--yes"] if "--app" in words[1] else [])
    )
    assert done.code == 0, done.err
    assert everything(cluster) != before, "it does what was said"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "web:v1", "nginx:1.27"],
        ["deploy", "web:v1", "n1", "--id", "web"],
        ["start", "web"],
        ["stop", "off"],
        ["upgrade", "web:v1", "web"],
    ],
    ids=" ".join,
)
def test_where_nothing_would_change_it_ends_with_0(cluster: Seed, words: list[str]) -> None:
    done = cluster.roj(*words, "--dry-run", "--exit-code")
    assert done.code == 0, done.err
    assert "already" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "web:v1", "nginx:1.1"], 5),
        (["deploy", "web:v9", "n1"], 4),
        (["deploy", "web:v2", "n1", "--id", "web"], 5),
        (["start", "nothing"], 4),
        (["upgrade", "old:v1", "web"], 5),
        (["rollback", "web"], 5),
        (["adopt", "web"], 5),
        (["remove", "web:v1"], 5),
        (["stop", "web", "--if-change", "xyz"], 5),
    ],
    ids=str,
)
def test_what_is_refused_is_refused(cluster: Seed, words: list[str], code: int) -> None:
    before = everything(cluster)
    assert cluster.roj(*words, "--dry-run", "--exit-code").code == code
    assert everything(cluster) == before


@pytest.mark.parametrize("verb", ["start", "stop", "undeploy"])
def test_if_change_is_of_the_newest_change(cluster: Seed, verb: str) -> None:
    id = "off" if verb == "start" else "web"
    change = instance(cluster, id).change
    [row] = [row for row in cluster.roj("instances", "-o", "json").json if row["id"] == id]
    assert row["change"] == change
    assert cluster.roj(verb, id, "--if-change", "0" + change).code == 5
    assert cluster.roj(verb, id, "--if-change", change[:10]).code == 0
    assert cluster.roj(verb, id, "--if-change", change[:10]).code == 5


def test_what_an_app_says_of_upgrades_has_flags(cluster: Seed) -> None:
    done = cluster.roj("create", "x:v1", "nginx:1.1", "--update", "stop-first", "--launch-timeout", "2m")
    assert done.code == 0, done.err
    app = cluster.roj("inspect", "app", "x:v1", "-o", "json").json["desired"]
    assert (app["update"], app["launch_timeout"]) == ("stop-first", "2m")
    done = cluster.roj(
        "create", "x:v2", "nginx:1.1", "--launch-timeout", "2d", "-p", "80:80", "--update", "start-first"
    )
    assert done.code == 2
    assert "--launch-timeout" in done.err
    assert "--update" in done.err
    assert cluster.roj("create", "x:v2", "-f", "-", "--update", "stop-first").code == 2


def test_every_command_that_says_why_has_a_dry_run() -> None:
    without = []
    context = click.Context(main, info_name="roj")

    def look(command: click.Command, path: str) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                look(found, f"{path} {name}".strip())
            return
        names = {parameter.name for parameter in command.params}
        if "why" in names and "dry_run" not in names:
            without.append(path)

    assert COMMANDS
    look(main, "")
    assert without == []
