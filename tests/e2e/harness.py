"""The real `roj` command and real agents against real engines, as an operator would use them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker.errors import APIError, NotFound

from engines import Docker, Web
from engines.commands import plain_environment
from roj.cli.main import run

ROJ = Path(sys.executable).parent / "roj"
SOURCES = Path(__file__).parents[2]
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

    def here(self, *words: str) -> Result:
        """The same in this process, for what is looked at again and again: a process of its own costs 0.3 s."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words, variables=self.environment)
        return Result(code, out.getvalue(), err.getvalue())

    def json(self, *words: str) -> Any:
        """What a reading command prints as JSON."""
        done = self.here(*words, "-o", "json")
        assert done.code == 0, f"roj {' '.join(words)} exited {done.code}: {done.err}"
        return done.json

    def instance(self, id: str) -> dict[str, Any] | None:
        """The instance's row; None where there is none, or the store does not answer."""
        done = self.here("instances", "-o", "json")
        found: list[dict[str, Any]] = done.json if done.code == 0 else []
        return next((row for row in found if row["id"] == id), None)

    def node(self, name: str) -> dict[str, Any]:
        """The node's row."""
        found: list[dict[str, Any]] = self.json("nodes")
        return next(row for row in found if row["name"] == name)

    def events(self, reference: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("events", reference)
        return found

    def reasons(self, reference: str) -> list[str]:
        """The reasons of the events of a node or an instance, oldest first."""
        return [event["reason"] for event in self.events(reference)]

    def wait_row(
        self, id: str, what: str, is_so: Callable[[dict[str, Any]], object], *, timeout: float = 120.0
    ) -> dict[str, Any]:
        """The instance's row once `is_so` holds for it."""
        last: dict[str, Any] | None = None

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.instance(id)
            return last if last is not None and is_so(last) else None

        try:
            return wait_for(f"{id} {what}", look, timeout=timeout, every=0.2) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; its row: {last}") from None

    def wait_phase(self, id: str, phase: str, *, timeout: float = 120.0) -> dict[str, Any]:
        """The instance's row once it has that phase, for the order that was given last."""
        return self.wait_row(
            id,
            f"is {phase}",
            lambda row: (
                row["phase"] == phase
                and (row["generation"] == row["observed_generation"] or phase not in ("launched", "stopped"))
            ),
            timeout=timeout,
        )


class AgentProcess:
    """`roj agent` as a child process; its log is in `log`. `prefix` goes before the command."""

    def __init__(
        self, roj: Roj, directory: Path, node: str, docker_url: str, *flags: str, prefix: Sequence[str] = ()
    ) -> None:
        self.node = node
        self.state = directory / node
        self.log = directory / f"{node}.log"
        self._roj = roj
        self.words = [
            *prefix, str(ROJ), "agent", "--node", node, "--state-dir", str(self.state), "--docker", docker_url, *flags,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> AgentProcess:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.words,
                cwd=SOURCES,
                env=self._roj.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            wait_for(f"{self.node} is ready", self.ready, timeout=120, every=0.2)
        return self

    def ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the agent ended with {self._process.returncode}: {self.tail()}"
        done = self._roj.here("nodes", "-o", "json")
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
        # One that was started a moment ago is ready in the store's eyes by the lease of the one before it.
        wait_for(
            "the agent heeds SIGTERM, or has ended", lambda: not self.alive or self._heeds(signal.SIGTERM)
        )
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"the agent did not end within {timeout:g} s of SIGTERM: {self.tail()}"
            ) from None

    def _heeds(self, number: int) -> bool:
        """Whether the process has a handler for the signal, as the kernel says (proc(5), SigCgt)."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
        return False

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
        """Its only container."""
        found = self.containers(instance)
        assert len(found) == 1, f"{len(found)} containers of {instance}"
        return found[0]

    def running(self, instance: str, count: int = 1, *, timeout: float = 60.0) -> list[str]:
        """The ids of the instance's containers, once there are `count` and all run."""

        def look() -> list[str]:
            try:
                found = self.containers(instance)
            except NotFound:  # one went while they were listed
                return []
            all_run = len(found) == count and all(container.status == "running" for container in found)
            return sorted(container.id for container in found) if all_run else []

        return wait_for(f"{count} containers of {instance} run", look, timeout=timeout, every=0.05)

    def ids(self, node: str) -> list[str]:
        """The ids of the node's containers."""
        return sorted(container.id for container in self.containers(node=node))

    def clean(self, *nodes: str) -> None:
        """Remove what the nodes of a test left."""

        def remove(container: Any) -> None:
            with suppress(APIError):  # an agent was removing it, or has done so
                container.remove(force=True)

        for node in nodes:
            with ThreadPoolExecutor(4) as workers:
                list(workers.map(remove, self.containers(node=node)))
            for network in self.client.networks.list(filters={"label": [f"roj.node={node}"]}):
                network.remove()

    def close(self) -> None:
        self.client.close()


@contextmanager
def agent(
    roj: Roj,
    directory: Path,
    node: str,
    engine: Docker,
    *flags: str,
    prefix: Sequence[str] = (),
    wait: bool = True,
) -> Iterator[AgentProcess]:
    """A running agent on `engine`; ended and cleaned up after, as are its containers."""
    words = flags if "--network-pool" in flags else ("--network-pool", engine.network_pool, *flags)
    process = AgentProcess(roj, directory, node, engine.url, *words, prefix=prefix)
    machine = Machine(engine)
    try:
        yield process.start(wait=wait)
    except BaseException:
        print(f"--- the last lines of the agent of {node}:\n{process.tail(60)}")
        raise
    finally:
        process.kill()
        machine.clean(node)
        machine.close()


@dataclass(frozen=True)
class Site:
    """A cluster and a Docker Engine that a test may use; what it names is its own through `tag`."""

    roj: Roj
    engine: Docker
    machine: Machine
    web: Web
    directory: Path
    tag: str

    def name(self, word: str) -> str:
        """A name that no other test has, of a node, an app or an instance."""
        return f"{word}-{self.tag}"

    def create(self, word: str, *flags: str, image: str | None = None, version: str = "v1") -> str:
        """An app; its reference."""
        reference = f"{self.name(word)}:{version}"
        self.roj.ok("create", reference, image or self.web.tag(version), *flags)
        return reference

    def create_file(self, word: str, text: str) -> str:
        """An app from a file; its reference."""
        reference = f"{self.name(word)}:v1"
        self.roj.ok("create", reference, "-f", "-", stdin=text)
        return reference

    def deploy(self, app: str, node: str, word: str, *, wait: bool = True) -> str:
        """An instance, launched unless not waited for; its id."""
        id = self.name(word)
        words = ("--wait", "--timeout", "120s") if wait else ()
        assert self.roj.ok("deploy", app, node, "--id", id, *words) == id
        return id

    @contextmanager
    def agent(
        self, node: str, *flags: str, wait: bool = True, directory: Path | None = None
    ) -> Iterator[AgentProcess]:
        """A running agent of `node`."""
        with agent(self.roj, directory or self.directory, node, self.engine, *flags, wait=wait) as process:
            yield process


def page(port: int, host: str = "127.0.0.1") -> str:
    """What a web server answers; empty where there is none."""
    with suppress(OSError), urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
        text: bytes = answer.read()
        return text.decode()
    return ""
