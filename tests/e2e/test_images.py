"""Images that are missing, registries that are away: said, tried again, and no harm to others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from engines import Registry, Web
from tests.e2e.harness import AgentProcess, Site

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def node(module_site: Site) -> Iterator[AgentProcess]:
    with module_site.agent(module_site.name("node")) as process:
        yield process


def test_a_missing_image_is_said_and_harms_no_other(module_site: Site, node: AgentProcess) -> None:
    roj = module_site.roj
    image = f"{module_site.web.tag('v1')}-not-yet"
    bad = module_site.deploy(module_site.create("bad", image=image), node.node, "bad", wait=False)
    row = roj.wait_row(
        bad, "waits for its next try", lambda row: row["phase"] == "pulling" and row["next_try"]
    )
    assert datetime.fromisoformat(row["next_try"]).tzinfo is not None
    assert image in row["message"]
    assert [(c["type"], c["status"]) for c in row["conditions"]] == [("ImageAvailable", "False")]
    assert "PullFailed" in roj.reasons(bad)
    assert roj("start", bad, "--wait", "--timeout", "1s").code == 3

    good = module_site.deploy(module_site.create("good"), node.node, "good")
    module_site.web.tag("v1-not-yet")  # the image comes
    row = roj.wait_phase(bad, "launched", timeout=180)
    assert (row["conditions"], row["next_try"], row["message"]) == ([], None, "")
    roj.ok("undeploy", bad, good, "--wait")


def test_a_registry_that_comes_back_is_pulled_from(module_site: Site, node: AgentProcess) -> None:
    roj = module_site.roj
    with Registry() as registry:
        image = Web(registry).tag("v1")
        registry.stop()
        app = module_site.create("later", image=image)
        id = module_site.deploy(app, node.node, "later", wait=False)
        row = roj.wait_row(id, "waits for its next try", lambda row: row["next_try"])
        assert row["phase"] == "pulling"
        registry.start()
        roj.wait_phase(id, "launched", timeout=180)
    module_site.machine.one(id).remove(force=True)  # it is there now, registry or not
    module_site.machine.running(id)
    roj.ok("undeploy", id, "--wait")


def test_an_undeploy_ends_the_wait_for_an_image(module_site: Site, node: AgentProcess) -> None:
    roj = module_site.roj
    app = module_site.create("never", image=f"{module_site.web.tag('v1')}-never")
    id = module_site.deploy(app, node.node, "never", wait=False)
    roj.wait_row(id, "waits for its next try", lambda row: row["next_try"])
    roj.ok("undeploy", id, "--wait")
    assert roj.instance(id) is None
    roj.ok("remove", app)
