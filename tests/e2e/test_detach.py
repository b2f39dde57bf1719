"""Ctrl-C ends the waiting and not the order: real processes, on the embedded store, with simulated containers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import ROJ, Roj, wait_for


@contextmanager
def dev(roj: Roj, home: Path) -> Iterator[None]:
    """`roj dev` while the body runs."""
    words = [str(ROJ), "dev", "--dir", str(home), "--docker", "simulated:"]
    with (home.parent / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            words, env=roj.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            wait_for("the node is ready", lambda: any(row["ready"] for row in roj.json("nodes")), timeout=60)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def interrupted(roj: Roj, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that waits for its node, and is interrupted as a terminal does it."""
    process = subprocess.Popen(
        [str(ROJ), *words, "--wait", "--timeout", "1h"],
        env=roj.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    told = ""
    while "its node has not acted on it yet" not in told:
        line = process.stderr.readline()
        assert line, f"it ended with {process.wait()}: {told}"
        told += line
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, told + err


@pytest.mark.timeout(180)
def test_ctrl_c_detaches_and_the_order_is_carried_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    roj = Roj(f"sqlite:///{home / 'store.sqlite'}")
    roj.ok("create", "job:v1", "busybox:1.36")
    with dev(roj, home):
        pass  # the node is known now, and away
    id = "job-one"
    for words, printed in ((("deploy", "job:v1", "dev", "--id", id), f"{id}\n"), (("stop", id), "")):
        code, out, err = interrupted(roj, *words)
        assert (code, out) == (130, printed)
        assert "no longer waiting; the order stands. `roj instances` shows how it goes on." in err
        assert "Traceback" not in err
        row = roj.instance(id)
        assert row is not None
        assert row["goal"] == ("start" if words[0] == "deploy" else "stop")
        with dev(roj, home):
            roj.wait_phase(id, "launched" if words[0] == "deploy" else "stopped", timeout=60)
    code, out, err = interrupted(roj, "undeploy", id)
    assert (code, out) == (130, "")
    with dev(roj, home):
        wait_for("it is gone", lambda: roj.instance(id) is None)
