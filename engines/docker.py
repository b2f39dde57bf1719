"""A real Docker Engine: the machine's own if there is one, or dockerd and containerd as children.

Several engines may share the machine's network: each has a bridge of its own and, unless asked, leaves iptables alone
(dockerd empties Docker's chains when it starts, another's included). Published ports then go through docker-proxy.
containerd is a child of its own: a dockerd that manages its own did not start again after kill -9.
"""

import ipaddress
import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import docker
import requests

from engines.commands import ran, tried
from engines.errors import EngineError, tail
from engines.packages import install_docker
from engines.program import Program
from engines.rights import missing_rights
from engines.run import Run, bridges_of, end_processes, unmount
from engines.subnets import Block, unused_block

DEFAULT_SOCKET = Path("/var/run/docker.sock")
STORAGE_DRIVERS = ("overlay2", "fuse-overlayfs", "vfs")
DEFAULT_NETWORK_POOL = "10.213.0.0/16"


class Docker:
    """dockerd with data, sockets and bridge of its own.

    `prefix` runs it in another network namespace (`Node.prefix`), `address` is then where its published ports are.
    `iptables` lets it write the rules that Docker writes by default; only one engine in a network should.
    `live_restore` keeps containers running over the daemon's restart.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        prefix: Sequence[str] = (),
        address: str = "127.0.0.1",
        iptables: bool = False,
        live_restore: bool = False,
        storage_drivers: Sequence[str] = STORAGE_DRIVERS,
    ) -> None:
        self._run = Run.current()
        self.directory = directory or self._run.place("docker")
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._run.note("place", str(directory))
        self._sockets = self._run.place(
            "s"
        )  # short: a socket's path is limited, a given directory's may be long
        self.address = address
        self.url = f"unix://{self._sockets}/docker.sock"
        self._prefix = tuple(prefix)
        self._iptables = iptables
        self._live_restore = live_restore
        self._drivers = list(storage_drivers)
        self._bridge = f"rojd-{os.urandom(4).hex()}"
        self._block: Block | None = None
        self._daemon: Program | None = None
        self._containerd: Program | None = None

    @classmethod
    def shared(cls) -> "Docker":
        """The engine that answers at the default socket, else a new one, started. Raises EngineError."""
        if DEFAULT_SOCKET.is_socket() and _answers(f"unix://{DEFAULT_SOCKET}"):
            return ForeignDocker()
        return cls().start()

    @property
    def network_pool(self) -> str:
        """A subnet for `roj agent --network-pool` that overlaps with no other engine's."""
        if self._block is None:
            raise EngineError("Docker has no network pool before its first start")
        return str(self._block.roj_pool)

    @property
    def log(self) -> Path:
        """dockerd's log."""
        return self.directory / "dockerd.log"

    @property
    def pid(self) -> int:
        """Process id of dockerd. Raises EngineError if it does not run."""
        if self._daemon is None:
            raise EngineError("dockerd is not running")
        return self._daemon.pid

    def client(self) -> docker.DockerClient:
        """A new client of Docker's library; the caller closes it."""
        return docker.DockerClient(base_url=self.url, version="auto", timeout=60)

    def start(self) -> Self:
        """Start it (containerd first, unless it lives on) and wait until it answers. Raises EngineError."""
        if self._daemon is not None and self._daemon.alive:
            return self
        if reason := missing_rights():
            raise EngineError(f"no Docker Engine can run here: {reason}")
        install_docker()
        self._make_bridge()
        self._start_containerd()
        while True:
            try:
                self._start_daemon(self._drivers[0])
                return self
            except EngineError:
                self.kill()
                if len(self._drivers) == 1 or not self._storage_is_to_blame():
                    raise
                del self._drivers[0]

    def stop(self) -> None:
        """An orderly end: dockerd stops its containers (10 s each at most), then containerd ends."""
        if self._daemon is not None:
            self._daemon.stop(60)
            self._daemon = None
        if self._containerd is not None:
            self._containerd.stop(10)
            self._containerd = None

    def kill(self) -> None:
        """kill -9 dockerd; containerd and the containers run on, without an engine."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon = None

    def boot(self) -> None:
        """As if the machine lost power and came back: all processes die, what is not on disk is gone, dockerd starts."""
        self._die()
        self.start()

    def close(self) -> None:
        """End it and all its containers at once, and remove all that it had."""
        self._die()
        tried([*self._prefix, "ip", "link", "delete", self._bridge])
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _die(self) -> None:
        self.kill()
        if self._containerd is not None:
            self._containerd.kill()
            self._containerd = None
        end_processes([], [self.directory, self._sockets])
        unmount(self.directory)
        for bridge in bridges_of(self.directory):
            tried([*self._prefix, "ip", "link", "delete", bridge])
        for volatile in ("exec", "containerd-state"):
            shutil.rmtree(self.directory / volatile, ignore_errors=True)

    def _make_bridge(self) -> None:
        if tried([*self._prefix, "ip", "link", "show", self._bridge]).returncode == 0:
            return
        if self._block is not None:
            self._add_bridge(self._block.bridge)
            return
        with unused_block(self._run) as block:
            self._block = block
            self._run.note("device", self._bridge)
            self._add_bridge(block.bridge)

    def _add_bridge(self, subnet: ipaddress.IPv4Network) -> None:
        ip = [*self._prefix, "ip"]
        ran([*ip, "link", "add", self._bridge, "type", "bridge"])
        ran([*ip, "address", "add", f"{subnet[1]}/{subnet.prefixlen}", "dev", self._bridge])
        ran([*ip, "link", "set", self._bridge, "up"])

    def _start_containerd(self) -> None:
        if self._containerd is not None and self._containerd.alive:
            return
        configuration = self.directory / "containerd.toml"
        configuration.write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n', encoding="utf-8"
        )
        socket = self._sockets / "containerd.sock"
        socket.unlink(missing_ok=True)
        self._containerd = Program(
            self._run,
            "containerd",
            [
                *self._prefix,
                "containerd",
                *("--config", str(configuration)),
                *("--root", str(self.directory / "containerd")),
                *("--state", str(self.directory / "containerd-state")),
                *("--address", str(socket)),
            ],
            home=self.directory,
            log=self.directory / "containerd.log",
        )
        self._containerd.wait_until(socket.exists, "socket", 60)

    def _start_daemon(self, driver: str) -> None:
        assert self._block is not None
        configuration = self.directory / "daemon.json"
        configuration.write_text("{}", encoding="utf-8")  # else the machine's own is read
        pidfile = self.directory / "dockerd.pid"
        pidfile.unlink(missing_ok=True)  # its process was ours; the id may be another's by now
        (self._sockets / "docker.sock").unlink(missing_ok=True)
        networking = [] if self._iptables else ["--iptables=false", "--ip-masq=false", "--ip-forward=false"]
        if self._live_restore:
            networking.append("--live-restore")
        self._daemon = Program(
            self._run,
            "dockerd",
            [
                *self._prefix,
                "dockerd",
                *("--config-file", str(configuration)),
                *("--data-root", str(self.directory / "data")),
                *("--exec-root", str(self.directory / "exec")),
                *("--pidfile", str(pidfile)),
                *("--host", self.url),
                *("--containerd", str(self._sockets / "containerd.sock")),
                *("--storage-driver", driver),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                *("--cgroup-parent", f"/{self._run.directory.name}"),
                *("--bridge", self._bridge),
                *("--default-address-pool", f"base={self._block.docker_pool},size=28"),
                *("--insecure-registry", "127.0.0.0/8"),
                *(
                    "--insecure-registry",
                    "10.212.0.0/16",
                ),  # the registry as nodes in their own namespaces see it
                *networking,
            ],
            home=self.directory,
            log=self.log,
        )
        self._daemon.wait_until(lambda: _answers(self.url), "answer from dockerd", 90)

    def _storage_is_to_blame(self) -> bool:
        words = tail(self.log, 30).lower()
        return any(
            word in words for word in ("graphdriver", "storage-driver", "storage driver", "prerequisites")
        )


class ForeignDocker(Docker):
    """The machine's own engine: used, never stopped or started."""

    def __init__(self) -> None:
        self.address = "127.0.0.1"
        self.url = f"unix://{DEFAULT_SOCKET}"

    @property
    def network_pool(self) -> str:
        """roj's default."""
        return DEFAULT_NETWORK_POOL

    @property
    def pid(self) -> int:
        """Not ours to know."""
        raise EngineError("the machine's own Docker is not ours to stop")

    def start(self) -> Self:
        """It runs."""
        return self

    def stop(self) -> None:
        """Refused. Raises EngineError."""
        raise EngineError("the machine's own Docker is not ours to stop")

    kill = stop
    boot = stop

    def close(self) -> None:
        """Leaves it as it is."""


def _answers(url: str) -> bool:
    with suppress(docker.errors.DockerException, requests.RequestException, OSError):
        with socket.socket(socket.AF_UNIX) as trial:  # the library leaves a socket open that cannot connect
            trial.connect(url.removeprefix("unix://"))
        client = docker.APIClient(base_url=url, version="auto", timeout=10)
        try:
            return "ServerVersion" in client.info()
        finally:
            client.close()
    return False
