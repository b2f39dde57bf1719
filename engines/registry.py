"""A real OCI registry, without a password and on a free port."""

import http.client
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.errors import EngineError
from engines.packages import registry_program
from engines.program import Program, free_ports
from engines.run import Run

CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{data}"}}
  delete: {{enabled: true}}
http:
  addr: "{bind}:{port}"
"""
# The packaged configuration asks for a password; this is ours.


class Registry:
    """A registry at `address` ("127.0.0.1:PORT"); after `stop`, `start` brings back the same images at the same port.

    `bind` "0.0.0.0" lets other network namespaces pull too.
    """

    def __init__(self, directory: Path | None = None, *, bind: str = "127.0.0.1") -> None:
        self._run = Run.current()
        self.directory = directory or self._run.place("registry")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._bind = bind
        self.port = 0
        self._program: Program | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`: Docker takes that as insecure (plain HTTP) by itself."""
        if not self.port:
            raise EngineError("the registry has no address before its first start")
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it serves. Raises EngineError."""
        if self._program is not None and self._program.alive:
            return self
        known = self.port
        for attempt in range(5):
            self.port = known or free_ports(1, self._bind)[0]
            try:
                self._start_once()
                return self
            except EngineError:
                self.stop()
                if known or attempt == 4:
                    raise
        return self

    def stop(self) -> None:
        """End it; its images stay."""
        if self._program is not None:
            self._program.stop(5)
            self._program = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_once(self) -> None:
        path = self.directory / "config.yml"
        path.write_text(
            CONFIGURATION.format(data=self.directory / "data", bind=self._bind, port=self.port),
            encoding="utf-8",
        )
        self._program = Program(
            self._run,
            "docker-registry",
            [str(registry_program()), "serve", str(path)],
            home=self.directory,
            log=self.directory / "log",
        )
        self._program.wait_until(self._serves, "answer to /v2/", 60)

    def _serves(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
