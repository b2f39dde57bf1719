"""What the tutorial is played on: a store, an agent and containers, none of which is the user's.

Commands get an environment of their own, in which nothing of the user's Consul, Docker or roj is left. Everything lives
in the directory of an `engines.Run`, which is removed at the end however the demo ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.screen import Screen
from engines import Consul, Docker, EngineError, Registry, Run, Web
from engines.commands import SEARCH_PATH, plain_environment
from engines.packages import busybox_program
from engines.program import free_ports
from engines.run import started

NODE = "node1"
PROGRAMS = Path(sys.executable).parent
PATIENCE = 120.0
"""Seconds that any step may take; a slow machine under load takes a tenth of that."""


class Surprise(Exception):
    """Something did not do what the tutorial says."""


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str


class Stage:
    """Runs commands, and the agent beside them. A context manager: at its end all that it started is ended."""

    real = False
    image = "nginx:1.27"
    page: str | None = None
    """What the web server answers; None: it cannot be asked."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.run = Run.current()
        self.home = self.run.place("demo")
        self.port = _port()
        self.variables: dict[str, str] = {}
        """What is exported in the tutorial's terminals."""
        self.agent_command: list[str] = []
        self._agent: subprocess.Popen[bytes] | None = None
        self._log = self.home / "agent.log"
        self._shown = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._agent is not None and self._agent.poll() is None:
            self._agent.kill()
            self._agent.wait()
        self.run.close()

    def type(self, *words: str, shown: str | None = None, fails: bool = False) -> Done:
        """Run a command as one would type it, and show it with all that it prints.

        Raises:
            Surprise: it failed, or, with `fails`, it did not.
        """
        self.screen.command(shown or shlex.join(words))
        done = self._ran(words)
        self.screen.output(done.stdout)
        self.screen.output(done.stderr)
        if (done.returncode != 0) is not fails:
            raise Surprise(f"`{words[0]} {words[1]}` ended with exit code {done.returncode}")
        self.show_agent()
        return Done(done.returncode, done.stdout)

    def ask(self, *words: str) -> Done:
        """Run a command without showing it."""
        done = self._ran(words)
        return Done(done.returncode, done.stdout)

    def start_agent(self) -> None:
        """Start the agent, "in another terminal"."""
        with self._log.open("ab") as log:
            self._agent = subprocess.Popen(
                [str(PROGRAMS / "roj"), *self.agent_command],
                cwd=self.home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the agent in order
            )
        self.run.note("process", [self._agent.pid, started(self._agent.pid)])

    def stop_agent(self) -> int:
        """SIGTERM; the exit code. Raises Surprise: it did not end."""
        assert self._agent is not None
        self._agent.send_signal(signal.SIGTERM)
        try:
            code = self._agent.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Surprise("the agent did not end") from None
        self.show_agent()
        return code

    def show_agent(self) -> None:
        """Show what the agent has said since the last time."""
        if self._agent is None:
            return
        with self._log.open("rb") as log:
            log.seek(self._shown)
            text, ended, _ = log.read().rpartition(b"\n")
        self._shown += len(text) + len(ended)
        for line in text.decode(errors="replace").splitlines():
            self.screen.agent(line)

    def wait(self, what: str, look: Callable[[], bool]) -> float:
        """Wait until `look` says yes; the seconds that took.

        Raises:
            Surprise: it did not, or the agent ended.
        """
        begun = time.monotonic()
        while not look():
            if self._agent is not None and self._agent.poll() is not None:
                self.show_agent()
                raise Surprise(f"the agent ended with exit code {self._agent.returncode}")
            if time.monotonic() - begun > PATIENCE:
                self.show_agent()
                raise Surprise(f"not within {PATIENCE:g} s: {what}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def fetch(self) -> None:
        """`curl` the instance, or what stands in for it. Only where the stage is real."""
        raise NotImplementedError

    def _ran(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        program = str(PROGRAMS / "roj") if words[0] == "roj" else words[0]
        try:
            return subprocess.run(
                [program, *words[1:]],
                cwd=self.home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Surprise(f"`{words[0]} {words[1]}` did not end within {PATIENCE:g} s") from None

    def _environment(self) -> dict[str, str]:
        # As root by sudo nothing is written into the user's source tree.
        kept = {name: os.environ[name] for name in ("PYTHONDONTWRITEBYTECODE",) if name in os.environ}
        return {**plain_environment(self.home), **kept, **self.variables}


class RealStage(Stage):
    """A Consul, a Docker Engine and a registry of our own."""

    real = True

    def __enter__(self) -> Self:
        try:
            self._consul = Consul(node_name=NODE).start()
            self._registry = Registry().start()
            web = Web(self._registry)
            self.image, self.page = web.tag("v1"), web.page("v1")
            self._docker = Docker().start()
        except BaseException:
            self.run.close()
            raise
        self.variables = {"CONSUL_HTTP_ADDR": self._consul.address, "DOCKER_HOST": self._docker.url}
        self.agent_command = ["agent", "--state-dir", str(self.home / NODE)]
        self.docker_command = shutil.which("docker", path=SEARCH_PATH)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        with suppress(EngineError):  # the run has ended them all; their objects learn it here
            self._consul.stop()
            self._registry.stop()
            self._docker.close()

    def fetch(self) -> None:
        curl = shutil.which("curl", path=SEARCH_PATH)
        words = [curl, "-sS"] if curl else [str(busybox_program()), "wget", "-qO-"]
        shown = "curl" if curl else "busybox wget -qO-"
        done = self.type(
            *words, f"http://localhost:{self.port}/", shown=f"{shown} http://localhost:{self.port}/"
        )
        if done.out != self.page:
            raise Surprise(f"the web server answered {done.out!r}, not {self.page!r}")


class SimulatedStage(Stage):
    """`roj dev` on an embedded store, with containers that are only played."""

    def __enter__(self) -> Self:
        self.variables = {"ROJ_STORE": f"sqlite:///{self.home / 'store.sqlite'}"}
        self.agent_command = ["dev", "--node", NODE, "--dir", str(self.home), "--docker", "simulated:"]
        return self


def _port() -> int:
    """8080, as in the README, where that is free; else another."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            trial.bind(("", 8080))
            return 8080
    return free_ports(1)[0]
