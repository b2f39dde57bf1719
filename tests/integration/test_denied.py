"""`roj` on a Consul with ACLs: what a token may not read is denied, and never taken for empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from engines import Consul
from roj.api import keys
from roj.api.node import Cluster, Node
from roj.cli.main import run
from roj.environment import RealEnvironment
from roj.store.address import open_store
from tests.unit.cli.seed import CLUSTER, WHEN, Done

pytestmark = pytest.mark.engines
MASTER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Consul]:
    """A Consul that denies whatever is not allowed."""
    tokens = {"master": MASTER, "agent": MASTER, "default": ""}
    consul = Consul(settings={"acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}})
    consul.start(wait=False)  # it asks without a token whether it serves, and is denied
    try:
        yield consul
    finally:
        consul.stop()


def put(consul: Consul, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"http://{consul.address}{path}", json.dumps(body).encode(), {"X-Consul-Token": MASTER}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def token(consul: Consul, name: str, rules: str) -> str:
    """A new token with these rights."""
    until = time.monotonic() + 60
    while True:
        try:
            put(consul, "/v1/acl/policy", {"Name": name, "Rules": rules})
            return str(put(consul, "/v1/acl/token", {"Policies": [{"Name": name}]})["SecretID"])
        except OSError:  # no leader yet
            assert time.monotonic() < until, consul.log.read_text(encoding="utf-8")[-2000:]
            time.sleep(0.2)


def roj(consul: Consul, secret: str, *words: str) -> Done:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(words, variables={"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN": secret})
    return Done(code, out.getvalue(), err.getvalue())


READS = ["nodes", "instances", "apps", "events", "cluster"]


def test_an_empty_list_is_not_believed_where_the_token_may_not_read(guarded: Consul) -> None:
    nothing = token(guarded, "nothing", 'key_prefix "other/" { policy = "read" }')
    # Its own node's keys and what every node reads, as docs/operations.md has it.
    of_a_node = token(
        guarded,
        "node",
        'key "roj/v1/cluster" { policy = "read" } key_prefix "roj/v1/apps/" { policy = "read" } '
        + "".join(
            f'key_prefix "roj/v1/{kind}/node1/" {{ policy = "write" }} '
            for kind in ("desired", "observed", "events")
        ),
    )
    reader = token(guarded, "reader", 'key_prefix "roj/v1/" { policy = "read" }')
    for words in (
        *([word] for word in READS if word != "cluster"),
        ["events", "nope"],
        ["instances", "node1"],
    ):
        for secret in (nothing, ""):
            done = roj(guarded, secret, *words)
            assert (done.code, done.out) == (7, ""), words
            assert "CONSUL_HTTP_TOKEN" in done.err
    for words in (
        ["stop", "a"],
        ["undeploy", "a"],
        ["inspect", "instance", "a"],
        ["inspect", "node", "node1"],
    ):
        assert roj(guarded, nothing, *words).code == 7, words
    for word in READS:
        assert roj(guarded, reader, word).code == 0, "it may read, and there is nothing"
    assert roj(guarded, of_a_node, "nodes").code == 7, "there may be nodes that it may not see"
    assert roj(guarded, of_a_node, "instances", "node1").code == 4, "of its own it sees that there is nothing"
    variables = {"CONSUL_HTTP_TOKEN": MASTER}
    store = open_store(guarded.store_url, RealEnvironment(), variables)
    store.create(keys.CLUSTER, Cluster(id=CLUSTER, created=WHEN).encode())
    store.create(keys.node("node1"), Node(name="node1", cluster=CLUSTER).encode())
    store.close()
    assert [row["name"] for row in roj(guarded, reader, "nodes", "-o", "json").json] == ["node1"]
    assert roj(guarded, nothing, "nodes").code == 7


def test_an_agent_that_is_denied_does_not_end_its_one_run_with_0(guarded: Consul, tmp_path: Path) -> None:
    secret = token(guarded, "no-roj", 'node_prefix "" { policy = "read" }')
    words = ["agent", "--once", "--node", "n1", "--state-dir", str(tmp_path), "--docker", "simulated:"]
    variables = {**os.environ, "CONSUL_HTTP_ADDR": guarded.address, "CONSUL_HTTP_TOKEN": secret}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "roj"), *words],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "not converged" in done.stderr and "docs/operations.md" in done.stderr
