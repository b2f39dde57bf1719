"""Containers, images and networks of a real Docker Engine, 20.10 or newer, through its HTTP API.

How it is reached is in `docker_client`, what its answers say in `docker_records`, what its errors mean in
`docker_errors`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from math import ceil
from typing import Any, cast

from roj.environment import Environment
from roj.runtime import docker_errors, docker_records, host_ports
from roj.runtime.docker_client import PULL_TIMEOUT, TROUBLE, Clients, Silence, credentials, with_tag
from roj.runtime.endpoint import endpoint
from roj.runtime.interface import (
    ContainerDetails,
    ContainerSpec,
    ContainerSummary,
    DiskUsage,
    Image,
    ImageDenied,
    InUse,
    Network,
    NotFound,
    Progress,
    RegistryUnavailable,
    RestartPolicy,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeInfo,
    RuntimeUnavailable,
)
from roj.runtime.pull_progress import PullProgress

STOP_MARGIN = 30
"""Seconds that a stop may take longer than the time it was given, before the daemon counts as away."""

FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
"""Seconds between attempts to read the event stream again."""

GLANCE = 0.25
"""Seconds between looks at whether the event stream is to end."""

QUIET = 300.0
"""Seconds without an event after which a stream over the network is opened anew: its other end may be gone unnoticed."""


class DockerRuntime:
    """The Runtime protocol on a Docker Engine. Making one does not need the daemon to be there.

    `url` None: the daemon that Docker's own command would use, by `variables` (the environment's) and Docker's files.
    Raises: RuntimeFailure, where those files name a context that cannot be used.
    """

    def __init__(
        self, environment: Environment, url: str | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        self._environment = environment
        self._variables = dict(variables or {})
        self._endpoint = endpoint(url, self._variables)
        self.address = self._endpoint.url
        self._clients = Clients(environment, self._endpoint)
        self._data_root = ""

    def info(self) -> RuntimeInfo:
        with self._clients.lent() as client:
            found = client.info()
        self._data_root = str(found.get("DockerRootDir", ""))
        return RuntimeInfo(
            id=found.get("ID", ""),
            version=found.get("ServerVersion", ""),
            data_root=self._data_root,
            containers=found.get("Containers", 0),
        )

    def disk_usage(self) -> DiskUsage | None:
        if not self._endpoint.local:
            return None
        root = self._data_root or self.info().data_root
        try:
            found = os.statvfs(root)
        except OSError:  # the socket leads to another machine, or another root
            return None
        total, free = found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize
        return DiskUsage(total=total, used=total - free)

    def containers(self, labels: Mapping[str, str] | None = None) -> tuple[ContainerSummary, ...]:
        filters = {"label": docker_records.label_filters(labels)} if labels else None
        with self._clients.lent() as client:
            found = client.containers(all=True, filters=filters)
        return tuple(sorted(map(docker_records.container_summary, found), key=lambda each: each.name))

    def container(self, id: str) -> ContainerDetails:
        with self._clients.lent() as client:
            found = client.inspect_container(id)
        return docker_records.container_details(found)

    def create(self, spec: ContainerSpec) -> str:
        body = docker_records.container_body(spec)
        if spec.network is not None:
            self.network(spec.network)  # Docker looks for it only at start
        with self._clients.lent(docker_errors.of_create) as client:
            made = client.create_container_from_config(body, spec.name)  # type: ignore[no-untyped-call]  # in its stubs
        return str(made["Id"])

    def start(self, id: str) -> None:
        with self._clients.lent(docker_errors.of_start) as client:
            client.start(id)

    def stop(self, id: str, timeout: float) -> None:
        with self._clients.lent(patience=STOP_MARGIN) as client:  # the library adds the timeout to it
            client.stop(id, timeout=max(0, ceil(timeout)))

    def kill(self, id: str) -> None:
        with suppress(InUse), self._clients.lent() as client:  # 409: it does not run
            client.kill(id, signal="KILL")

    def unpause(self, id: str) -> None:
        try:
            with self._clients.lent() as client:
                client.unpause(id)
        except (RuntimeUnavailable, NotFound):
            raise
        except RuntimeFailure as failure:
            if "not paused" not in str(failure) and "not running" not in str(failure):
                raise

    def remove(self, id: str) -> None:
        with suppress(NotFound), self._clients.lent(docker_errors.of_remove) as client:
            client.remove_container(id, v=True)

    def set_restart_policy(self, id: str, policy: RestartPolicy) -> None:
        with self._clients.lent() as client:
            client.update_container(id, restart_policy=cast("Any", {"Name": policy}))

    def images(self) -> tuple[Image, ...]:
        with self._clients.lent() as client:
            found = client.images()
        return tuple(sorted(map(docker_records.image_of_list, found), key=lambda each: each.id))

    def image(self, reference: str) -> Image | None:
        try:
            with self._clients.lent() as client:
                found = client.inspect_image(reference)  # type: ignore[no-untyped-call]  # in its stubs
        except NotFound:
            return None
        return docker_records.image_inspected(found)

    def pull(self, reference: str, progress: Progress | None = None) -> Image:
        steps, failure = PullProgress(), None
        sent, trouble = credentials(reference, self._endpoint.configuration, self._variables)
        try:
            for line in self._pull(reference, sent):
                if "error" in line or "errorDetail" in line:
                    message = (line.get("errorDetail") or {}).get("message") or line.get("error")
                    failure = docker_errors.of_pull(0, str(message or line))
                words = steps.feed(line)
                if words and progress:
                    progress(words)
        except Silence as silence:
            raise RegistryUnavailable(f"nothing came for {PULL_TIMEOUT:g} s") from silence
        except ImageDenied as denied:
            failure = denied
        if isinstance(failure, ImageDenied) and trouble:
            raise ImageDenied(f"{failure}; no credentials were sent: {trouble}") from failure
        if failure is not None:
            raise failure
        found = self.image(reference)
        if found is None:
            raise RegistryUnavailable(f"the pull of {reference} ended and the image is not there")
        return found

    def remove_image(self, reference: str) -> None:
        # noprune: an untagged parent was built here, by somebody else
        with suppress(NotFound), self._clients.lent(docker_errors.of_remove) as client:
            client.remove_image(reference, force=False, noprune=True)

    def networks(self, labels: Mapping[str, str] | None = None) -> tuple[Network, ...]:
        filters = {"label": docker_records.label_filters(labels)} if labels else None
        with self._clients.lent() as client:
            found = client.networks(filters=filters)
        return tuple(sorted(map(docker_records.network, found), key=lambda each: (each.name, each.id)))

    def network(self, id: str) -> Network:
        with self._clients.lent() as client:
            return docker_records.network(client.inspect_network(id))

    def create_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> str:
        with self._clients.lent(docker_errors.of_create_network) as client:
            made = client.create_network(
                name,
                driver="bridge",
                ipam=cast("Any", {"Driver": "default", "Config": [{"Subnet": subnet}]}),
                labels=dict(labels),
            )
        return str(made["Id"])

    def remove_network(self, id: str) -> None:
        with suppress(NotFound), self._clients.lent(docker_errors.of_remove) as client:
            client.remove_network(id)

    def events(self, stopped: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        pause = FIRST_RETRY
        while not stopped():
            begun = self._environment.monotonic()
            connected = False
            try:
                for event in self._stream(stopped):
                    connected = True
                    yield event
            except RuntimeUnavailable:
                if connected:
                    yield RuntimeEvent("cut", "")
                if self._environment.monotonic() - begun > LONGEST_RETRY:
                    pause = FIRST_RETRY
                self._wait(pause * (0.5 + self._environment.random.random() / 2), stopped)
                pause = min(pause * 2, LONGEST_RETRY)

    def port_in_use(self, protocol: str, port: int) -> bool:
        return host_ports.in_use(protocol, port)

    def close(self) -> None:
        self._clients.close()

    def _pull(self, reference: str, sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines of a pull."""
        with self._clients.lent(docker_errors.of_pull, alone=True) as client:
            yield from client.pull(with_tag(reference), stream=True, decode=True, auth_config=sent)

    def _stream(self, stopped: Callable[[], bool]) -> Iterator[RuntimeEvent]:
        """The events of one connection, until `stopped`. Raises RuntimeUnavailable: it was cut, or never made."""
        with self._clients.lent(alone=True) as client:
            client.stream_timeout = None if self._endpoint.local else QUIET
            # Docker answers a moment before it listens: the last second is told again rather than lost.
            since = int(self._environment.now().timestamp()) - 1
            stream = client.events(
                since=since, filters={"type": ["container", "image", "network"]}, decode=True
            )
            ended = self._environment.event()

            def watch() -> None:
                while not ended.wait(GLANCE):
                    if stopped():
                        with suppress(*TROUBLE):
                            stream.close()
                        return

            watcher = self._environment.spawn("docker-events-end", watch)
            try:
                yield RuntimeEvent("reconnected", "")
                for entry in stream:
                    if stopped():
                        return
                    event = docker_records.event(entry)
                    if event is not None:
                        yield event
            finally:
                ended.set()
                watcher.join()
                with suppress(*TROUBLE):
                    stream.close()
        if not stopped():
            raise RuntimeUnavailable(f"Docker at {self.address} ended the event stream")

    def _wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        end = self._environment.monotonic() + seconds
        while not stopped() and (left := end - self._environment.monotonic()) > 0:
            self._environment.sleep(min(GLANCE, left))
