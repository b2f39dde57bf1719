"""A real Docker Engine and a real registry of our own: killed, started and booted by the cases."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from contextlib import AbstractContextManager, suppress
from ipaddress import IPv4Network
from typing import Any

import docker
from docker.errors import APIError

from engines import Docker, Registry, Web
from engines.image import push
from roj.environment import RealEnvironment
from roj.runtime.docker import DockerRuntime
from tests.unit.runtime.world import World, listening


class DockerWorld(World):
    def __init__(self, engine: Docker, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry
        self.runtime = DockerRuntime(RealEnvironment(), engine.url)
        self.api: Any = docker.APIClient(base_url=engine.url, version="auto", timeout=60)
        self.subnets = map(str, IPv4Network(engine.network_pool).subnets(new_prefix=28))
        self._web = Web(registry)

    def image(self, name: str = "web:v1", content: str = "") -> str:
        if not content:
            return self._web.tag(name.partition(":")[2])
        repository, _, tag = name.partition(":")
        push(self.registry.address, repository, tag, [_layer(content)])
        return f"{self.registry.address}/{name}"

    def missing_image(self) -> str:
        return f"{self.registry.address}/missing:v1"

    def registry_down(self) -> None:
        self.registry.stop()

    def registry_up(self) -> None:
        self.registry.start()

    def pause(self, id: str) -> None:
        self.api.pause(id)

    def remove_by_force(self, id: str) -> None:
        with suppress(APIError):
            self.api.remove_container(id, force=True, v=True)

    def crash(self, id: str) -> None:
        os.kill(self.api.inspect_container(id)["State"]["Pid"], signal.SIGKILL)

    def kill_daemon(self) -> None:
        self.engine.kill()

    def stop_daemon(self) -> None:
        self.engine.stop()

    def start_daemon(self) -> None:
        self.engine.start()

    def boot(self) -> None:
        self.engine.boot()

    def listener(self, port: int) -> AbstractContextManager[None]:
        return listening(port)

    def close(self) -> None:
        self.runtime.close()
        self.api.close()


def _layer(content: str) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
        return buffer.getvalue()
