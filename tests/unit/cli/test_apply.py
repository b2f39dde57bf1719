"""`roj apply`, `roj plan` and `roj export`: what is declared, as files."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roj.api import keys
from roj.api.app import App
from roj.api.instance import Instance
from roj.api.node import Node
from roj.cli.documents import as_one
from tests.property.test_api import APPS
from tests.unit.cli.seed import Done, Seed

WEB = {
    "app": "web:v1",
    "containers": [{"name": "web", "image": "nginx:1.27", "ports": [{"container": 80, "host": 80}]}],
}
WEB2 = {**WEB, "app": "web:v2"}
JOB = {"app": "job:v1", "containers": [{"name": "job", "image": "busybox:1.36"}]}


@pytest.fixture
def cluster(seed: Seed) -> Seed:
    seed.cluster()
    seed.node("n1")
    seed.node("n2")
    return seed


def everything(seed: Seed) -> list[tuple[str, bytes]]:
    return [(entry.key, entry.value) for entry in seed.store.list(keys.ROOT).entries]


def instance(seed: Seed, node: str, id: str) -> Instance:
    entry = seed.store.get(keys.instance(node, id))
    assert entry is not None, f"{node}/{id}"
    return Instance.decode(entry.value)


def applied(
    seed: Seed, directory: Path, *documents: object, flags: tuple[str, ...] = (), command: str = "apply"
) -> Done:
    file = directory / "cluster.yaml"
    file.write_text("---\n".join(yaml.safe_dump(document) for document in documents))
    return seed.roj(command, "-f", str(file), *flags)


def at(id: str, app: str, node: str = "n1", goal: str | None = None) -> dict[str, str]:
    return {"instance": id, "app": app, "node": node} | ({"goal": goal} if goal else {})


def test_apply_makes_apps_nodes_and_instances_and_again_is_no_change(cluster: Seed, tmp_path: Path) -> None:
    documents = (
        at("web-1", "web:v1"), at("job-1", "job:v1", "n2", "stop"),
        {"node": "n1", "labels": {"zone": "a"}, "windows": ["Sat 02:00-04:00"]}, WEB, JOB,
    )  # fmt: skip
    planned = applied(cluster, tmp_path, *documents, command="plan", flags=("--exit-code",))
    assert planned.code == 10
    assert [line.split()[:2] for line in planned.lines] == [
        ["app", "web:v1"], ["app", "job:v1"], ["node", "n1"], ["instance", "web-1"], ["instance", "job-1"],
    ]  # fmt: skip
    dry = applied(cluster, tmp_path, *documents, flags=("--dry-run",))
    assert (dry.code, dry.out) == (0, planned.out)
    done = applied(cluster, tmp_path, *documents, flags=("-m", "release 12"))
    assert (done.code, done.out) == (0, ""), done.err
    web, job = instance(cluster, "n1", "web-1"), instance(cluster, "n2", "job-1")
    assert (web.goal, web.why, str(web.app), web.generation) == ("start", "release 12", "web:v1", 1)
    assert (job.goal, job.generation) == ("stop", 1), "it is never started in between"
    entry = cluster.store.get(keys.node("n1"))
    assert entry is not None
    node = Node.decode(entry.value)
    assert (node.labels, node.windows) == ({"zone": "a"}, ("Sat 02:00-04:00",))
    before = everything(cluster)
    again = applied(cluster, tmp_path, *documents)
    assert again.code == 0
    assert "5 of 5 are so already" in again.err
    assert everything(cluster) == before
    assert applied(cluster, tmp_path, *documents, flags=("--dry-run", "--exit-code")).code == 0


def test_an_instance_is_upgraded_and_its_goal_is_set(cluster: Seed, tmp_path: Path) -> None:
    assert applied(cluster, tmp_path, WEB, WEB2, JOB, at("a", "web:v1"), at("b", "job:v1")).code == 0
    done = applied(cluster, tmp_path, at("a", "web:v2"), at("b", "web:v2", goal="stop"))
    assert done.code == 5
    assert "port 80/tcp of n1 is held by instance a" in done.err, "by the one that comes before it"
    done = applied(cluster, tmp_path, at("a", "web:v2"), at("b", "job:v1", goal="stop"), flags=("-o", "json"))
    assert done.code == 0, done.err
    assert [(step["name"], step["action"], step["changes"]) for step in done.json] == [
        ("a", "change", ["app web:v1 -> web:v2"]), ("b", "change", ["goal start -> stop"]),
    ]  # fmt: skip
    assert str(instance(cluster, "n1", "a").app) == "web:v2"
    assert instance(cluster, "n1", "b").goal == "stop"
    done = applied(cluster, tmp_path, at("a", "job:v1", goal="stop"))
    assert done.code == 0, done.err
    record = instance(cluster, "n1", "a")
    assert (str(record.app), record.goal, record.generation) == ("job:v1", "stop", 4)


def test_every_fault_of_every_document_is_told_with_its_place(cluster: Seed, tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(
        "instance: B!\nnode: n1\napp: web\n---\nnode: n1\nlabels: {a: 'x y'}\nfoo: 1\n"
    )
    (tmp_path / "c.json").write_text(json.dumps([JOB, {"app": "x:v1", "node": "n1"}, 3]))
    (tmp_path / "d.txt").write_text("not read")
    done = applied(cluster, tmp_path, WEB, {"app": "Web", "containers": [{"image": "a"}]}, WEB, {"kind": "x"})
    assert done.code == 2
    done = cluster.roj("apply", "-f", str(tmp_path))
    assert done.code == 2
    for word in (
        "cluster.yaml, document 2: app:", "cluster.yaml, document 2: containers[0].name",
        "cluster.yaml, document 3: app web:v1 is in", "cluster.yaml, document 4: has none of the fields",
        "b.yml, document 1: instance", "b.yml, document 1: app", "b.yml, document 2: labels.a", "b.yml, document 2: foo",
        "c.json, document 2: has app and node", "c.json, document 3: is no document",
    ):  # fmt: skip
        assert word in done.err, (word, done.err)
    assert "d.txt" not in done.err
    assert len(everything(cluster)) == 7, "of the cluster and its nodes"
    assert cluster.roj("apply", "-f", str(tmp_path / "none.yaml")).code == 2
    (tmp_path / "empty").mkdir()
    assert "no file of documents" in cluster.roj("apply", "-f", str(tmp_path / "empty")).err


def test_everything_that_the_cluster_has_against_it_is_told_at_once(cluster: Seed, tmp_path: Path) -> None:
    assert (
        applied(cluster, tmp_path, WEB, JOB, at("a", "web:v1"), at("b", "job:v1"), at("c", "job:v1")).code
        == 0
    )
    assert cluster.roj("undeploy", "c").code == 0
    before = everything(cluster)
    other = {**WEB, "containers": [{"name": "web", "image": "nginx:1.28"}]}
    done = applied(
        cluster, tmp_path, other, at("a", "web:v1", "n2"), at("c", "job:v1"), at("d", "web:v1"), at("e", "no:v1"),
        at("f", "job:v1", "n9"), {"node": "n8"}, {"node": "n2", "cordoned": True}, at("g", "job:v1", "n2"),
    )  # fmt: skip
    assert done.code == 4
    for word in (
        "document 1: app web:v1 is there already", "document 2: a is on node n1", "document 3: c is being undeployed",
        "document 4: n1: port 80/tcp is held by instance a", "document 5: there is no app no:v1",
        "document 6: there is no node n9", "document 7: there is no node n8", "document 9: n2: was cordoned",
    ):  # fmt: skip
        assert word in done.err, (word, done.err)
    assert everything(cluster) == before


def test_another_node_alone_is_a_conflict(cluster: Seed, tmp_path: Path) -> None:
    assert applied(cluster, tmp_path, JOB, at("a", "job:v1")).code == 0
    assert applied(cluster, tmp_path, at("a", "job:v1", "n2")).code == 5


def test_a_node_that_a_document_opens_takes_instances(cluster: Seed, tmp_path: Path) -> None:
    assert cluster.roj("node", "cordon", "n1").code == 0
    documents = (JOB, at("a", "job:v1"))
    assert applied(cluster, tmp_path, *documents).code == 5
    assert applied(cluster, tmp_path, *documents, {"node": "n1", "cordoned": False}).code == 0


def test_prune_undeploys_only_what_no_document_names_of_the_files_apps(cluster: Seed, tmp_path: Path) -> None:
    documents = (WEB, JOB, at("a", "job:v1"), at("b", "job:v1"), at("w", "web:v1"))
    assert applied(cluster, tmp_path, *documents).code == 0
    left = (JOB, at("b", "job:v1"))
    planned = applied(cluster, tmp_path, *left, flags=("--prune", "--dry-run", "-o", "json"))
    assert [
        (step["name"], step["action"], step["place"]) for step in planned.json if step["action"] != "none"
    ] == [("a", "undeploy", "")]
    refused = applied(cluster, tmp_path, *left, flags=("--prune",))
    assert refused.code == 2
    assert "--yes" in refused.err
    assert instance(cluster, "n1", "a").goal == "start"
    assert applied(cluster, tmp_path, *left).code == 0
    assert instance(cluster, "n1", "a").goal == "start"
    assert applied(cluster, tmp_path, *left, flags=("--prune", "--yes", "-m", "smaller")).code == 0
    goals = {id: instance(cluster, "n1", id).goal for id in ("a", "b", "w")}
    assert goals == {"a": "undeploy", "b": "start", "w": "start"}
    assert instance(cluster, "n1", "a").why == "smaller"
    assert applied(cluster, tmp_path, *left, flags=("--prune",)).code == 0, "there is nothing to ask about"


@settings(max_examples=8, deadline=None)
@given(st.lists(APPS, max_size=2), st.data())
def test_what_is_exported_changes_nothing_and_makes_the_same_elsewhere(
    specs: list[App], data: st.DataObject
) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "one").mkdir()
        (directory / "two").mkdir()
        one, two = Seed(directory / "one"), Seed(directory / "two")
        for seed in (one, two):
            seed.cluster()
            seed.node("n1")
        documents: list[dict[str, Any]] = []
        for number, spec in enumerate(specs):
            fields = spec.spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
            documents.append({"app": f"app{number}:v1", **fields})
            if not spec.host_ports():
                goal = data.draw(st.sampled_from(["start", "stop"]))
                documents.append(at(f"i{number}", f"app{number}:v1", goal=goal))
        labels = data.draw(
            st.dictionaries(st.sampled_from(["zone", "role"]), st.sampled_from(["", "a", "1", "yes"]))
        )
        windows = data.draw(
            st.lists(st.sampled_from(["daily 02:00-04:00", "Sat 22:00-05:00 Europe/Warsaw"]), max_size=2)
        )
        cordon = data.draw(st.booleans())
        file = directory / "in.yaml"
        file.write_text("---\n".join(as_one(document) for document in documents))
        if documents:
            done = one.roj("apply", "-f", str(file))
            assert done.code == 0, done.err
        file.write_text(as_one({"node": "n1", "labels": labels, "windows": windows, "cordoned": cordon}))
        assert one.roj("apply", "-f", str(file)).code == 0
        for form in ("yaml", "json"):
            exported = one.roj("export", "all", "-o", form)
            assert exported.code == 0
            file.write_text(exported.out)
            before = everything(one)
            again = one.roj("apply", "-f", str(file), "--prune")
            assert again.code == 0, again.err
            assert everything(one) == before
        # Elsewhere: instances first, as the cordon would refuse them.
        parts = {kind: two_file(directory, kind, one) for kind in ("apps", "instances", "nodes")}
        for kind, path in parts.items():
            if one.roj("export", kind).out:
                done = two.roj("apply", "-f", path)
                assert done.code == 0, (kind, done.err)
        assert two.roj("export", "all").out == one.roj("export", "all").out
        one.close()
        two.close()


def two_file(directory: Path, kind: str, seed: Seed) -> str:
    path = directory / f"{kind}.yaml"
    path.write_text(seed.roj("export", kind).out)
    return str(path)


def test_export_leaves_out_what_is_not_declared_any_more(cluster: Seed, tmp_path: Path) -> None:
    assert applied(cluster, tmp_path, JOB, at("a", "job:v1"), at("b", "job:v1")).code == 0
    assert cluster.roj("undeploy", "a").code == 0
    cluster.store.create(keys.instance("n1", "bad"), b"{}")
    done = cluster.roj("export", "instances", "-o", "json")
    assert [document["instance"] for document in done.json] == ["b"]
    assert "left out" in done.err
    assert "bad" in done.err
    assert [next(iter(document)) for document in cluster.roj("export", "all", "-o", "json").json] == [
        "app", "node", "node", "instance",
    ]  # fmt: skip
