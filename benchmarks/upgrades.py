"""What a client sees of an upgrade: roj, `docker rm -f && docker run`, and a service update of Swarm mode."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, Literal

import docker

from benchmarks.client import Followed, Polling
from engines import Docker, Web
from engines.commands import plain_environment
from engines.program import free_ports
from roj.api import keys
from roj.api.instance import InstanceStatus
from roj.environment import RealEnvironment
from roj.store.address import open_store
from tests.e2e.harness import Roj, wait_for

ROUNDS = 7
NODE = "bench"
ID = "shop"
SERVICE = "com.docker.swarm.service.name=shop"
Add = Callable[..., None]
Order = Literal["start-first", "stop-first"]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def spread(times: list[float]) -> str:
    """The median, with the least and the most."""
    return f"{ms(statistics.median(times))} ({min(times) * 1000:.0f} to {max(times) * 1000:.0f})"


class Upgrades:
    """Upgrades there and back between two versions of a web server, with a client that polls every 10 ms."""

    def __init__(self, roj: Roj, engine: Docker, api: Any, web: Web, add: Add) -> None:
        self._roj = roj
        self._engine = engine
        self._api = api
        self._images = {version: web.tag(version) for version in ("v1", "v2")}
        self._pages = {version: web.page(version) for version in ("v1", "v2")}
        self._add = add
        for image in self._images.values():
            api.pull(image)

    def run(self) -> None:
        self._stop_first()
        self._start_first()

    # --- a fixed port: the old one is stopped first ---

    def _stop_first(self) -> None:
        (port,) = free_ports(1, "127.0.0.1")
        for version, image in self._images.items():
            self._roj.ok("create", f"fixed:{version}", image, "-p", f"80:{port}")
        self._roj.ok("deploy", "fixed:v1", NODE, "--id", ID, "--wait")
        times, parts = [], []
        for version in versions():
            since = time.time()
            with Polling(lambda: [port]) as client:
                self._roj.ok("upgrade", f"fixed:{version}", ID, "--wait")
            times.append(client.downtime)
            parts.append(self._parts(since))
        words = ", ".join(
            f"{name} {ms(statistics.median(each[name] for each in parts))}" for name in parts[0]
        )
        mine = f"{spread(times)}; {words}"
        back, launched = self._roll_back(port)
        self._roj.ok("undeploy", ID, "--wait")
        beside = f"`docker rm -f && docker run` {spread(self._bare(port))}; Swarm mode {self._swarm_stop_first(port)}"
        self._add("downtime of an upgrade that stops first (fixed port)", mine, beside)
        self._add("rollback acknowledged to serving", f"{spread(back)}; to `launched` {spread(launched)}")

    def _parts(self, since: float) -> dict[str, float]:
        """Where the time from the stop to the start goes, by Docker's events."""
        moments: dict[str, float] = {}
        for event in self._api.events(since=int(since), until=int(time.time()) + 1, decode=True):
            if event.get("Actor", {}).get("Attributes", {}).get("roj.instance") == ID:
                moment = event["timeNano"] / 1e9
                if moment >= since:
                    moments.setdefault(event["Action"], moment)
        found = {"stop": moments["stop"] - moments["kill"]}
        if moments["create"] > moments["stop"]:
            found |= {
                "look and create": moments["create"] - moments["stop"],
                "start": moments["start"] - moments["create"],
            }
        else:
            found |= {"look and start": moments["start"] - moments["stop"]}
        return found

    def _roll_back(self, port: int) -> tuple[list[float], list[float]]:
        serving, launched = [], []
        for _ in range(ROUNDS):
            self._roj.ok("upgrade", "fixed:v2", ID, "--wait")
            with Polling(lambda: [port]) as client:
                self._roj.ok("rollback", ID)
                acknowledged = time.monotonic()
                self._roj.wait_phase(ID, "launched")
                done = time.monotonic()
            serving.append(max(0.0, client.first(self._pages["v1"]) - acknowledged))
            launched.append(done - acknowledged)
        return serving, launched

    def _bare(self, port: int) -> list[float]:
        run = f"run -d --name shop -p {port}:80"
        self._docker(f"{run} {self._images['v1']}")
        self._serves([port], "v1")
        times = []
        for version in versions():
            with Polling(lambda: [port]) as client:
                self._docker("rm -f shop")
                self._docker(f"{run} {self._images[version]}")
                self._serves([port], version)
            times.append(client.downtime)
        self._docker("rm -f shop")
        return times

    def _swarm_stop_first(self, port: int) -> str:
        ports = [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "host"}]
        return self._swarm("stop-first", ports, lambda: [port])

    # --- a port that the node chooses: the new one is started first ---

    def _start_first(self) -> None:
        for version, image in self._images.items():
            self._roj.ok("create", f"dynamic:{version}", image, "-p", "80")
        self._roj.ok("deploy", "dynamic:v1", NODE, "--id", ID, "--wait")
        follows, either = [], []
        with closing(open_store(self._roj.store, RealEnvironment(), {})) as store:

            def reported() -> list[int]:
                """The port that `roj instances -o json` would print now."""
                entry = store.get(keys.instance_status(NODE, ID))
                status = InstanceStatus.decode(entry.value) if entry is not None else None
                return list(status.ports.values()) if status is not None else []

            for version in versions():
                with ExitStack() as stack:
                    by_roj = stack.enter_context(Followed(reported))
                    by_docker = stack.enter_context(Followed(lambda: self._published(f"roj.instance={ID}")))
                    one = stack.enter_context(Polling(by_roj))
                    two = stack.enter_context(Polling(by_docker))
                    self._roj.ok("upgrade", f"dynamic:{version}", ID, "--wait")
                follows.append(one.downtime)
                either.append(two.downtime)
        self._roj.ok("undeploy", ID, "--wait")
        ports = [{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"}]
        with Followed(lambda: self._published(SERVICE)) as swarm:
            beside = self._swarm("start-first", ports, swarm)
        self._add(
            "downtime of an upgrade that starts first (the node chooses the port)",
            f"{spread(either)} for a client that tries every port that Docker publishes for it, looked up every 50 ms; "
            f"{spread(follows)} for one that asks only at the port that roj reports, read every 50 ms",
            f"Swarm mode, tried at every port: {beside}",
        )

    def _published(self, label: str) -> list[int]:
        found = self._api_of_its_own().containers(filters={"label": [label], "status": ["running"]})
        return sorted(
            {port["PublicPort"] for each in found for port in each["Ports"] if "PublicPort" in port}
        )

    def _api_of_its_own(self) -> Any:
        if not hasattr(self, "_second"):
            self._second = docker.APIClient(base_url=self._engine.url, version="1.41", timeout=60)
        return self._second

    # --- beside it ---

    def _swarm(self, order: Order, ports: list[dict[str, Any]], where: Callable[[], list[int]]) -> str:
        try:
            self._api.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:0")
        except docker.errors.APIError as error:
            return f"could not be started: {error.explanation}"
        try:
            self._update("v1", order, ports, create=True)
            self._serves(where, "v1")
            times = []
            for version in versions():
                with Polling(where) as client:
                    self._update(version, order, ports)
                    wait_for("Swarm mode is done", self._swarm_is_done, timeout=60)
                    self._serves(where, version)
                times.append(client.downtime)
            self._api.remove_service("shop")
            wait_for("it is gone", lambda: not self._published(SERVICE))
            return spread(times)
        finally:
            self._api.leave_swarm(force=True)

    def _update(
        self, version: str, order: Order, ports: list[dict[str, Any]], *, create: bool = False
    ) -> None:
        types = docker.types
        template = types.TaskTemplate(types.ContainerSpec(self._images[version]))
        settings = {
            "endpoint_spec": types.EndpointSpec(ports=ports),
            "update_config": types.UpdateConfig(parallelism=1, order=order, monitor=10**9),
            "mode": types.ServiceMode("replicated", replicas=1),
        }
        if create:
            self._api.create_service(template, name="shop", **settings)
            return
        now = self._api.inspect_service("shop")["Version"]["Index"]
        self._api.update_service("shop", now, task_template=template, name="shop", **settings)

    def _swarm_is_done(self) -> bool:
        state: dict[str, Any] = self._api.inspect_service("shop").get("UpdateStatus", {})
        return state.get("State") == "completed"

    def _docker(self, words: str) -> None:
        subprocess.run(
            ["docker", "-H", self._engine.url, *words.split()],
            check=True, capture_output=True, env=plain_environment(),
        )  # fmt: skip

    def _serves(self, where: Callable[[], list[int]] | list[int], version: str) -> None:
        with Polling(where if callable(where) else lambda: where) as client:
            wait_for(
                f"{version} serves",
                lambda: bool(client.requests) and client.requests[-1].page == self._pages[version],
                every=0.01,
            )


def versions() -> list[str]:
    """There and back, beginning with the other one."""
    return ["v2" if number % 2 == 0 else "v1" for number in range(ROUNDS)]
