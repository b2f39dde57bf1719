"""A real Consul: one server with its data on disk, or a client agent that joins one."""

import http.client
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.errors import EngineError
from engines.packages import consul_program
from engines.program import Program, free_ports
from engines.run import Run

ATTEMPTS = 5
TAKEN = "address already in use"


class Consul:
    """A Consul agent whose ports were all picked free.

    `start` returns when there is a leader and the agent's `serfHealth` passes, so that sessions can be made. After `stop`
    or `kill`, `start` brings back the same data on the same ports. With `join` (the `serf_address` of another) it is a
    client agent, as on a node. `prefix` is put before the command: `nsenter --net=...` for another network namespace.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        node_name: str = "node1",
        address: str = "127.0.0.1",
        join: str | None = None,
        prefix: Sequence[str] = (),
        settings: dict[str, object] | None = None,
    ) -> None:
        self._run = Run.current()
        self.directory = directory or self._run.place("consul")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.node_name = node_name
        self._bind = address
        self._join = join
        self._prefix = tuple(prefix)
        self._settings = settings or {}
        self._ports: list[int] = []  # http, server, serf
        self._program: Program | None = None

    @property
    def address(self) -> str:
        """`HOST:PORT` of the HTTP API."""
        return f"{self._bind}:{self._port(0)}"

    @property
    def store_url(self) -> str:
        """As `roj --store` takes it."""
        return f"consul://{self.address}"

    @property
    def serf_address(self) -> str:
        """What another agent joins."""
        return f"{self._bind}:{self._port(2)}"

    @property
    def log(self) -> Path:
        """Consul's log."""
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """Process id. Raises EngineError if it does not run."""
        if self._program is None:
            raise EngineError("Consul is not running")
        return self._program.pid

    def start(self, *, wait: bool = True) -> Self:
        """Start it and, unless told not to (it is cut off), wait until it can serve. Raises EngineError."""
        if self._program is not None and self._program.alive:
            return self
        fresh = not self._ports
        for attempt in range(ATTEMPTS):
            if fresh:
                self._ports = free_ports(3, self._bind if not self._prefix else "127.0.0.1")
            size = self.log.stat().st_size if self.log.exists() else 0
            try:
                self._start_once(wait)
                return self
            except EngineError:
                taken = TAKEN in self.log.read_text(encoding="utf-8", errors="replace")[size:]
                self.kill()
                if not (taken and fresh) or attempt == ATTEMPTS - 1:
                    raise
        return self

    def stop(self) -> None:
        """SIGTERM: as an orderly end of the agent."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def kill(self) -> None:
        """kill -9: as a machine that dies."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def restart(self) -> None:
        """Stop and start, with the same data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Stop, lose all data, start: an empty Consul at the same address."""
        self.stop()
        shutil.rmtree(self.directory / "data")
        self.start()

    def snapshot_save(self, path: Path) -> None:
        """Write a snapshot of all data to `path`. Raises EngineError."""
        path.write_bytes(self._request("GET", "/v1/snapshot"))

    def snapshot_restore(self, path: Path) -> None:
        """Put back all data as it was in the snapshot at `path`. Raises EngineError."""
        self._request("PUT", "/v1/snapshot", path.read_bytes())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _port(self, which: int) -> int:
        if not self._ports:
            raise EngineError("Consul has no address before its first start")
        return self._ports[which]

    def _start_once(self, wait: bool) -> None:
        http_port, server_port, serf_port = self._ports
        configuration: dict[str, object] = {
            "node_name": self.node_name,
            "data_dir": str(self.directory / "data"),
            "bind_addr": self._bind,
            "client_addr": self._bind,
            "ports": {
                "http": http_port,
                "server": server_port,
                "serf_lan": serf_port,
                "serf_wan": -1,
                "dns": -1,
                "grpc": -1,
                "https": -1,
            },
            "disable_update_check": True,
            "rejoin_after_leave": True,
            "performance": {"raft_multiplier": 1},
            "log_level": "INFO",
        }
        if self._join is None:
            configuration |= {"server": True, "bootstrap_expect": 1}
        else:
            configuration |= {"server": False, "retry_join": [self._join], "retry_interval": "1s"}
        path = self.directory / "agent.json"
        path.write_text(json.dumps(configuration | self._settings, indent=1), encoding="utf-8")
        command = [*self._prefix, str(consul_program()), "agent", f"-config-file={path}"]
        self._program = Program(self._run, "consul", command, home=self.directory, log=self.log)
        if wait:
            self._program.wait_until(self._serves, "leader and passing serfHealth", 90)

    def _serves(self) -> bool:
        try:
            if json.loads(self._request("GET", "/v1/status/leader", patience=5)) == "":
                return False
            checks = json.loads(
                self._request("GET", f"/v1/health/node/{self.node_name}?consistent", patience=5)
            )
            self._request("GET", "/v1/kv/?keys&consistent", patience=5, absent_is_fine=True)
        except EngineError:
            return False
        return any(check["CheckID"] == "serfHealth" and check["Status"] == "passing" for check in checks)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        patience: float = 60,
        absent_is_fine: bool = False,
    ) -> bytes:
        connection = http.client.HTTPConnection(self._bind, self._port(0), timeout=patience)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"Consul at {self.address}: {method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200 and not (absent_is_fine and answer.status == 404):
            raise EngineError(f"Consul at {self.address}: {method} {path}: {answer.status} {content[:300]!r}")
        return content
