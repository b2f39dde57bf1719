"""The real `roj` command and real agents against real engines, as an operator would use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import docker

from engines import Consul, Docker
from engines.commands import plain_environment

ROJ = Path(sys.executable).parent / "roj"
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def wait_for(what: str, look: Callable[[], T], *, timeout: float = 60.0, every: float = 0.1) -> T:
    """The first true answer of `look`; fails with the last one after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}; the last look gave {found!r}")
        time.sleep(every)


class Roj:
    """The command `roj`, pointed at one store and nothing of the user's."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.environment = {**plain_environment(), "ROJ_STORE": store, "NO_COLOR": "1"}

    def __call__(self, *words: str, timeout: float = 120.0, stdin: str | None = None) -> Result:
        done = subprocess.run(
            [str(ROJ), *words],
            env=self.environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, timeout: float = 120.0, stdin: str | None = None) -> str:
        """The output of a command that must succeed, without its last newline."""
        done = self(*words, timeout=timeout, stdin=stdin)
        assert done.code == 0, f"roj {' '.join(words)} exited {done.code}: {done.err}"
        return done.out.rstrip("\n")

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def instance(self, id: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self.json("instances")
        return next((row for row in found if row["id"] == id), None)

    def wait_phase(self, id: str, phase: str, *, timeout: float = 60.0) -> dict[str, Any]:
        """The instance's row once it has that phase."""

        def look() -> dict[str, Any] | None:
            row = self.instance(id)
            self.last = row
            return row if row is not None and row["phase"] == phase else None

        try:
            return wait_for(f"{id} is {phase}", look, timeout=timeout) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; its row: {self.last}") from None


class AgentProcess:
    """`roj agent` as a child process; its log is in `log`."""

    def __init__(self, roj: Roj, directory: Path, node: str, docker_url: str, *flags: str) -> None:
        self.node = node
        self.state = directory / node
        self.log = directory / f"{node}.log"
        self._roj = roj
        self._words = [
            str(ROJ), "agent", "--node", node, "--state-dir", str(self.state), "--docker", docker_url, *flags,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> AgentProcess:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, env=self._roj.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            wait_for(f"{self.node} is ready", self.ready, timeout=60)
        return self

    def ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the agent ended with {self._process.returncode}: {self.tail()}"
        done = self._roj("nodes", "-o", "json")
        return done.code == 0 and any(row["name"] == self.node and row["ready"] for row in done.json)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"the agent did not end within {timeout:g} s of SIGTERM: {self.tail()}"
            ) from None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def wait(self, timeout: float) -> int:
        """Its exit code, once it ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class Machine:
    """One Docker Engine as a test looks at it: only containers with roj's labels of one cluster's node."""

    def __init__(self, engine: Docker) -> None:
        self.engine = engine
        self.client = docker.DockerClient(base_url=engine.url, version="auto", timeout=60)

    def containers(self, instance: str | None = None, node: str | None = None) -> list[Any]:
        labels = [f"roj.instance={instance}" if instance else "roj.instance"]
        if node:
            labels.append(f"roj.node={node}")
        return list(self.client.containers.list(all=True, filters={"label": labels}))

    def one(self, instance: str) -> Any:
        found = self.containers(instance)
        assert len(found) == 1, f"{len(found)} containers of {instance}"
        return found[0]

    def clean(self, *nodes: str) -> None:
        """Remove what the nodes of a test left."""
        for node in nodes:
            for container in self.containers(node=node):
                container.remove(force=True)
            for network in self.client.networks.list(filters={"label": [f"roj.node={node}"]}):
                network.remove()

    def close(self) -> None:
        self.client.close()


@contextmanager
def agent(roj: Roj, directory: Path, node: str, engine: Docker, *flags: str) -> Iterator[AgentProcess]:
    """A running agent on `engine`; ended and cleaned up after, as are its containers."""
    words = flags if "--network-pool" in flags else ("--network-pool", engine.network_pool, *flags)
    process = AgentProcess(roj, directory, node, engine.url, *words)
    machine = Machine(engine)
    try:
        yield process.start()
    finally:
        process.kill()
        machine.clean(node)
        machine.close()


def fresh_consul() -> Consul:
    """A Consul of a test's own."""
    return Consul()
