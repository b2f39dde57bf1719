"""Images: what is missing is said, tried again, and harms no other; what roj pulled and nobody needs goes, and only that."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from engines import Registry, Web
from roj.api import keys
from roj.api.instance import Instance
from roj.environment import RealEnvironment
from roj.store.address import open_store
from tests.e2e.harness import AgentProcess, Site, wait_for

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


class _Images:
    """Apps of one image each, by word, and what the collector of their node says of them."""

    def __init__(self, site: Site, process: AgentProcess) -> None:
        self._site = site
        self._agent = process

    def reference(self, word: str) -> str:
        return self._site.web.tag(self._site.name(word))

    def deploy(self, word: str) -> str:
        app = self._site.create(word, image=self.reference(word))
        return self._site.deploy(app, self._agent.node, word)

    def there(self, *words: str) -> list[bool]:
        return [self._is_there(word) for word in words]

    def garbage(self) -> list[str]:
        """The images that `roj node gc` would remove."""
        place = ("--state-dir", str(self._agent.state))
        rows = self._site.roj.json("node", "gc", self._agent.node, "--dry-run", *place)
        return [row["name"] for row in rows if row["what"] == "image"]

    def _is_there(self, word: str) -> bool:
        try:
            self._site.machine.client.images.get(self.reference(word))
        except ImageNotFound:
            return False
        return True


def test_what_roj_pulled_and_nobody_needs_goes_and_only_that(site: Site) -> None:
    roj, node = site.roj, site.name("node")
    with site.agent(site.name("other")) as neighbour, site.agent(node, wait=False) as process:
        process.kill()
        process.words[:1] = [sys.executable, "-m", "tests.e2e.hasty_agent"]
        process.words += ["--image-gc-high", "100"]  # of itself it collects no images
        process.start()
        images = _Images(site, process)
        site.machine.client.images.pull(images.reference("strangers"))
        ids = {word: images.deploy(word) for word in ("runs", "stopped", "before", "unused", "strangers")}
        _may_be_rolled_back(site, node, ids["runs"], ids["before"])
        roj.ok("stop", ids["stopped"], "--wait")
        next_door = site.deploy(site.create("web"), neighbour.node, "web")
        roj.ok("undeploy", *(ids[word] for word in ("before", "unused", "strangers")), "--wait")
        assert images.garbage() == []  # another agent's containers are on the daemon

        roj.ok("undeploy", next_door, "--wait")
        unused = images.reference("unused")
        wait_for("it is old enough", lambda: images.garbage() == [unused])
        assert images.there("unused") == [True]
        collected = roj("node", "gc", node, "--state-dir", str(process.state))
        assert (collected.code, unused in collected.out) == (0, True)
        assert images.there("unused", "runs", "stopped", "before", "strangers") == [False, *[True] * 4]
        assert images.garbage() == []
        wait_for("it is told", lambda: roj.reasons(node).count("Collected") == 1)

        disk = shutil.disk_usage(Path(site.machine.client.info()["DockerRootDir"]))
        if disk.used * 100 > disk.total * 2:  # else no threshold is low enough
            process.stop()
            process.words += ["--image-gc-high", "1", "--image-gc-low", "0"]
            process.start()
            roj.ok("undeploy", ids["stopped"], "--wait")
            wait_for("it goes for want of space", lambda: images.there("stopped") == [False])
            assert images.there("runs", "before", "strangers") == [True] * 3


def _may_be_rolled_back(site: Site, node: str, id: str, to: str) -> None:
    """Give an instance the revision of another as its previous one, as an upgrade would have left it."""
    store = open_store(site.roj.store, RealEnvironment(), {})
    try:
        entry, other = (store.get(keys.instance(node, each)) for each in (id, to))
        assert entry is not None
        assert other is not None
        instance = Instance.decode(entry.value)
        revisions = (*instance.revisions, Instance.decode(other.value).revision)
        store.swap(entry.key, instance.model_copy(update={"revisions": revisions}).encode(), entry.version)
    finally:
        store.close()
