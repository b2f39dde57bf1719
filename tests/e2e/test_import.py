"""Files of others, imported, created and launched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Site, page, wait_for

pytestmark = pytest.mark.engines
FILES = Path(__file__).parents[1] / "unit/importers"


def test_a_compose_file(site: Site, free_port: Callable[[], int], tmp_path: Path) -> None:
    roj, machine, port = site.roj, site.machine, free_port()
    text = (FILES / "compose/fastapi-ollama.yaml").read_text()
    file = tmp_path / "compose.yaml"
    # The tests' web server is on port 80, and other ports of this machine may be taken.
    file.write_text(text.replace("8000:8000", f"{port}:80").replace("11434:11434", "11434"))
    flags = [word for service in ("ollama", "web") for word in ("--image", f"{service}={site.web.tag('v1')}")]
    imported = roj("import", "compose", str(file), *flags)
    assert imported.code == 0, imported.err
    app = site.create_file("shop", imported.out)
    with site.agent(site.name("node")) as process:
        instance = site.deploy(app, process.node, "shop")
        assert page(port) == site.web.page("v1")
        by_name = {container.labels["roj.container"]: container for container in machine.containers(instance)}
        assert by_name.keys() == {"ollama", "web"}
        assert "OLLAMA_HOST=http://ollama:11434" in by_name["web"].attrs["Config"]["Env"]
        reached = by_name["web"].exec_run(["wget", "-q", "-O", "-", "http://ollama/"])
        assert reached.output.decode() == site.web.page("v1")
        assert by_name["ollama"].attrs["Mounts"][0]["Destination"] == "/root/.ollama"
        roj.ok("undeploy", instance, "--wait")


def test_a_job_of_helios(site: Site) -> None:
    roj, machine = site.roj, site.machine
    file = FILES / "helios/user_manual-testjob.json"
    imported = roj("import", "helios", str(file), "--image", site.web.tag("v1"))
    assert imported.code == 0, imported.err
    app = site.create_file("testjob", imported.out)
    with site.agent(site.name("node")) as process:
        instance = site.deploy(app, process.node, "testjob")
        container = machine.one(instance)
        assert container.attrs["Config"]["StopTimeout"] == 120
        wait_for("it tells the time", lambda: b":" in container.logs())
        roj.ok("undeploy", instance)
        roj.wait_phase(instance, "stopping")
        container.kill()  # its shell ends at no signal, and two minutes are long for a test
        wait_for("it is gone", lambda: roj.instance(instance) is None)
