"""`roj agent --once`: its exit code is 0 only where all is as it should be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from roj.cli.main import run
from tests.unit.store.scripted import Scripted, answer

Once = Callable[..., tuple[int, str]]


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Once:
    """Runs it to its end; exit code and what was said to be missing."""
    monkeypatch.setattr("roj.framework.log.set_up", lambda *_, **__: None)
    monkeypatch.setattr("roj.agent.process.PATIENCE", 0.5)

    def ran(
        store: str = f"sqlite:///{tmp_path}/roj.db", docker: str = "simulated:", *more: str
    ) -> tuple[int, str]:
        caplog.clear()
        words = ["--node", "n1", "--state-dir", str(tmp_path / "state"), "--once-timeout", "20s", *more]
        with caplog.at_level(logging.INFO, "roj"):
            code = run(["agent", "--once", *words, "--docker", docker, "--store", store], variables={})
        said = [record.getMessage() for record in caplog.records]
        return code, "\n".join(line for line in said if line.startswith("not converged: "))

    return ran  # fmt: skip


def test_a_node_without_instances_is_converged(once: Once) -> None:
    assert once() == (0, "")


def test_a_docker_that_is_down_is_6(once: Once, tmp_path: Path) -> None:
    code, said = once(docker=f"unix://{tmp_path}/nowhere.sock")
    assert code == 6
    assert "does not answer" in said and "`docker version` tells" in said


@pytest.mark.parametrize("joined", [False, True])
def test_a_store_that_is_away_is_6_whether_the_node_ever_joined_or_not(*, once: Once, joined: bool) -> None:
    if joined:
        assert once() == (0, "")
    code, said = once("consul://127.0.0.1:1")
    assert code == 6
    assert "consul://127.0.0.1:1" in said and "Is the store running there?" in said
    assert ("never in a cluster" in said) is not joined


def test_a_store_that_denies_is_7(once: Once) -> None:
    with Scripted(lambda _: answer("403 Forbidden", "Permission denied")) as consul:
        code, said = once(consul.url)
    assert code == 7
    assert "denies" in said and "CONSUL_HTTP_TOKEN" in said


def test_a_store_without_the_cluster_is_3_and_says_what_to_do(once: Once, tmp_path: Path) -> None:
    assert once() == (0, "")
    code, said = once(f"sqlite:///{tmp_path}/other.db")
    assert code == 3
    assert "roj restore" in said
