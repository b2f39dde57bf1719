"""`roj agent --once`, as cron runs it: its exit code tells whether all is as it should be, and stderr why it is not."""

from __future__ import annotations

import time

import pytest

from tests.e2e.harness import Result, Site

pytestmark = pytest.mark.engines


def test_one_run_is_0_where_all_converged_and_says_what_did_not(site: Site) -> None:
    roj, node = site.roj, site.name("node")
    app, bad = (
        site.create("web", "-p", "80"),
        site.create("web", "--", "/nope", version="bad", image=site.web.tag("v1")),
    )

    def once(*more: str) -> Result:
        words = ("--node", node, "--state-dir", str(site.directory / node), "--docker", site.engine.url)
        return roj("agent", "--once", *words, *more)

    try:
        assert once().code == 0, "nothing is wanted of it yet"
        id = site.deploy(app, node, "one", wait=False)
        assert once().code == 0
        (serving,) = site.machine.running(id)
        roj.ok("upgrade", bad, id)
        began = time.monotonic()
        failed = once("--once-timeout", "5m")
        assert failed.code == 3
        assert f"not converged: {id} is failed: " in failed.err and "/nope" in failed.err
        assert time.monotonic() - began < 60.0, "it stays so: there is nothing to wait for"
        assert [each.id for each in site.machine.containers(id) if each.status == "running"] == [serving]
        away = once("--store", "consul://127.0.0.1:1")
        assert away.code == 6 and "kept and repaired" in away.err
        roj.ok("undeploy", id)
        done = once()
        assert (done.code, done.err.count(f"undeployed {id}")) == (0, 1)
        assert site.machine.containers(id) == []
    finally:
        site.machine.clean(node)
