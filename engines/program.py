"""One engine's program as a child process, and waiting until it serves."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engines.commands import plain_environment
from engines.errors import EngineError, tail
from engines.run import Run, started

POLL = 0.05  # s


class Program:
    """A child process with a log, noted in the run before anything can be lost."""

    def __init__(self, run: Run, name: str, argv: Sequence[str], *, home: Path, log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                cwd=home,
                env=plain_environment(home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the run, which then stops its engines in order
            )
        run.note("process", [self.pid, started(self.pid)])

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._process.kill()
        self._process.wait()

    def stop(self, patience: float = 30) -> None:
        """SIGTERM, and kill -9 after `patience` seconds."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_until(self, ready: Callable[[], bool], what: str, patience: float = 60) -> None:
        """Wait until `ready()`.

        Raises EngineError, with the end of the log, if the program ended or `patience` seconds passed.
        """
        deadline = time.monotonic() + patience
        while not ready():
            if not self.alive:
                raise EngineError(
                    f"{self.name} ended with exit code {self._process.returncode} before {what}; {tail(self.log)}"
                )
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name}: no {what} after {patience:g} s; {tail(self.log)}")
            time.sleep(POLL)


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that are free for TCP and UDP just now, below the range from which the kernel picks for connections.

    Another program may take one before its user does: who listens must be ready to pick again.
    """
    low = 32768
    with contextlib.suppress(OSError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found: list[int] = []
    held = []
    try:
        while len(found) < count:
            port = 10000 + int.from_bytes(os.urandom(4)) % max(low - 10000, 1000)
            if 20000 <= port < 32000 and low > 20000:
                continue  # roj's own range for dynamic ports
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                trial = socket.socket(socket.AF_INET, kind)
                held.append(trial)
                try:
                    trial.bind((address, port))
                except OSError:
                    break
            else:
                found.append(port)
    finally:
        for trial in held:
            trial.close()
    return found
