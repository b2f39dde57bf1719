"""`make bench`: what roj costs, beside the bare Docker API and Swarm mode doing the same, in one run on one machine.

Prints a table and, with `--write`, keeps it in docs/performance.md with the machine that it ran on.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker

from benchmarks.proxy import CountingProxy
from benchmarks.rollout import rollout
from benchmarks.upgrades import Upgrades, ms
from engines import Consul, Docker, Registry, Web
from engines.commands import plain_environment
from tests.e2e.harness import ROJ, AgentProcess, Machine, Roj, wait_for

MANY = 40
ROUNDS = 7
LISTED = 10_000
IDLE = 60.0
PARTS = ["one_deploy", "repair", "requests", "many", "upgrades", "rollout", "commands"]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    roj: str
    beside: str = ""
    goal: str = ""


class Bench:
    """The engines, one agent behind a counting proxy, and what was measured."""

    def __init__(self, consul: Consul, engine: Docker, web: Web, directory: Path) -> None:
        self.engine = engine
        self.web = web
        self.image = web.tag("v1")
        host, port = consul.address.split(":")
        self.proxy = CountingProxy((host, int(port)))
        self.roj = Roj(consul.store_url)
        behind = Roj(f"consul://127.0.0.1:{self.proxy.port}")
        self.agent = AgentProcess(
            behind, directory, "bench", engine.url,
            "--network-pool", engine.network_pool, "--log-level", "debug",
        )  # fmt: skip
        self.machine = Machine(engine)
        self.api = docker.APIClient(base_url=engine.url, version="1.41", timeout=120)
        self.rows: list[Row] = []

    def add(self, what: str, roj: str, beside: str = "", goal: str = "") -> None:
        self.rows.append(Row(what, roj, beside, goal))
        print(f"  {what}: {roj}{f'; beside it {beside}' if beside else ''}", flush=True)

    # --- one deploy ---

    def bare(self) -> float:
        """Create and start by the bare API; seconds."""
        began = time.monotonic()
        container = self.api.create_container(self.image, host_config=self.api.create_host_config())
        self.api.start(container["Id"])
        took = time.monotonic() - began
        self.api.remove_container(container["Id"], force=True)
        return took

    def deploy_once(self) -> dict[str, float]:
        """Seconds from the acknowledged write to Docker's `start`, in parts."""
        since = time.time()
        id = self.roj.ok("deploy", "web:v1", "bench")
        row = self.roj.wait_phase(id, "launched")
        acknowledged = datetime.fromisoformat(row["changed"]["when"]).timestamp()
        moments = {
            event["Action"]: event["timeNano"] / 1e9
            for event in self.api.events(since=int(since) - 1, until=int(time.time()) + 1, decode=True)
            if event.get("Actor", {}).get("Attributes", {}).get("roj.instance") == id
        }
        woken = self._woken(id)
        self.roj.ok("undeploy", id, "--wait")
        return {
            "notice and queue": woken - acknowledged,
            "look and create": moments["create"] - woken,
            "start": moments["start"] - moments["create"],
            "all": moments["start"] - acknowledged,
        }

    def _woken(self, id: str) -> float:
        for line in self.agent.log.read_text(encoding="utf-8").splitlines():
            if f" deploy {id} " in line and "woken" in line:
                return datetime.fromisoformat(line.split(" ", 1)[0]).timestamp()
        raise AssertionError(f"the log does not say when {id} was woken")

    def one_deploy(self) -> None:
        self.roj.ok("create", "web:v1", self.image)
        self.deploy_once()  # warms up
        bare = statistics.median(self.bare() for _ in range(ROUNDS))
        rounds = [self.deploy_once() for _ in range(ROUNDS)]
        parts = {part: statistics.median(each[part] for each in rounds) for part in rounds[0]}
        total = parts.pop("all")
        words = ", ".join(f"{part} {ms(seconds)}" for part, seconds in parts.items())
        self.add(
            "deploy acknowledged to container started", f"{ms(total)} ({words})", f"bare API {ms(bare)}",
            "at most 50 ms more",
        )  # fmt: skip

    # --- many at once ---

    def many(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: self._create_and_start(), range(MANY)))
        bare = time.monotonic() - began
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda id: self.api.remove_container(id, force=True), made))
        began = time.monotonic()
        ids = self.roj.ok("deploy", "web:v1", "bench", "--count", str(MANY)).split()
        self._wait_running(lambda: len(self._running("roj.node=bench")), MANY)
        took = time.monotonic() - began
        wait_for("all launched", lambda: self._phases() == {"launched": MANY}, timeout=120)
        self.roj.ok("undeploy", *ids, "--wait", "--timeout", "300s", timeout=400)
        self.add(
            f"{MANY} instances at once, until the last runs", f"{took:.1f} s",
            f"bare API with 4 workers {bare:.1f} s; Swarm mode {self._swarm()}", "within 15 % of the API",
        )  # fmt: skip

    def _create_and_start(self) -> str:
        container = self.api.create_container(self.image, host_config=self.api.create_host_config())
        self.api.start(container["Id"])
        return str(container["Id"])

    def _running(self, label: str) -> list[Any]:
        return list(self.api.containers(filters={"label": [label], "status": ["running"]}))

    def _others(self, label: str, victim: str) -> Callable[[], int]:
        """How many with the label run beside the one that was removed."""
        return lambda: len([found for found in self._running(label) if found["Id"] != victim])

    def _wait_running(self, count: Callable[[], int], wanted: int) -> None:
        deadline = time.monotonic() + 180
        while count() < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{count()} of {wanted} run after 180 s")
            time.sleep(0.05)

    def _phases(self) -> dict[str, int]:
        phases: dict[str, int] = {}
        for row in self.roj.json("instances"):
            phases[row["phase"]] = phases.get(row["phase"], 0) + 1
        return phases

    def _swarm(self) -> str:
        try:
            self.api.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:0")
        except docker.errors.APIError as error:
            return f"could not be started: {error.explanation}"
        try:
            began = time.monotonic()
            spec = docker.types.ContainerSpec(self.image)
            template = docker.types.TaskTemplate(spec)
            mode = docker.types.ServiceMode("replicated", replicas=MANY)
            self.api.create_service(template, name="bench", mode=mode)  # type: ignore[no-untyped-call]
            self._wait_running(lambda: len(self._running("com.docker.swarm.service.name=bench")), MANY)
            took = time.monotonic() - began
            repair = self._swarm_repair()
            self.api.remove_service("bench")  # type: ignore[no-untyped-call]
            return f"{took:.1f} s (and {repair:.1f} s to repair one removed container)"
        finally:
            self.api.leave_swarm(force=True)

    def _swarm_repair(self) -> float:
        victim = self._running("com.docker.swarm.service.name=bench")[0]["Id"]
        began = time.monotonic()
        self.api.remove_container(victim, force=True)
        self._wait_running(self._others("com.docker.swarm.service.name=bench", victim), MANY)
        return time.monotonic() - began

    # --- upgrades ---

    def upgrades(self) -> None:
        Upgrades(self.roj, self.engine, self.api, self.web, self.add).run()

    def rollout(self) -> None:
        rollout(self.add)

    # --- repair, requests, memory ---

    def repair(self) -> None:
        id = self.roj.ok("deploy", "web:v1", "bench", "--wait")
        times = []
        for _ in range(ROUNDS):
            victim = self.machine.one(id)
            began = time.monotonic()
            victim.remove(force=True)
            removed = time.monotonic()
            self._wait_running(self._others(f"roj.instance={id}", victim.id), 1)
            times.append((time.monotonic() - removed, time.monotonic() - began))
            self.roj.wait_phase(id, "launched")
        after, whole = (statistics.median(each) for each in zip(*times, strict=True))
        self.add(
            "repair of one container removed by hand", f"{ms(after)} after it was gone ({ms(whole)} with the removal)",
            "", "under 600 ms",
        )  # fmt: skip
        self.roj.ok("undeploy", id, "--wait")

    def requests(self) -> None:
        time.sleep(3)
        self.proxy.reset()
        id = self.roj.ok("deploy", "web:v1", "bench", "--wait")
        time.sleep(3)
        self.add(
            "Consul requests of the agent for one deploy", f"{self.proxy.writes} writes, {self.proxy.reads} reads",
            "and 1 write of `roj deploy`", "at most 3 writes in all",
        )  # fmt: skip
        self.proxy.reset()
        processor = self._processor()
        time.sleep(IDLE)
        used = (self._processor() - processor) / IDLE
        proxy = self.proxy
        self.add(
            "an idle minute", f"{proxy.writes} writes, {proxy.reads + proxy.renewals} requests "
            f"({proxy.renewals} of them renewals), {used:.2%} of a processor", "", "0 writes, about 3 requests, 0.5 %",
        )  # fmt: skip
        self.add("memory of the agent (resident)", f"{self._memory():.0f} MB", "", "under 60 MB")
        self.roj.ok("undeploy", id, "--wait")

    def _processor(self) -> float:
        fields = Path(f"/proc/{self.agent.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> float:
        for line in Path(f"/proc/{self.agent.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    # --- the command ---

    def commands(self) -> None:
        times = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            subprocess.run([str(ROJ), "version"], check=True, capture_output=True, env=plain_environment())
            times.append(time.monotonic() - began)
        self.add("roj version", ms(statistics.median(times)), "", "under 100 ms")
        times = []
        for _ in range(3):
            began = time.monotonic()
            out = self.roj.ok("instances")
            times.append(time.monotonic() - began)
            assert len(out.splitlines()) >= LISTED
        self.add(
            f"roj instances with {LISTED:,} of them", f"{statistics.median(times):.2f} s", "", "under 1.5 s"
        )


def fill(store_url: str) -> None:
    """Write as many instances as are to be listed, as operators and agents would have."""
    from benchmarks.seed import seed

    seed(store_url, LISTED)


def machine_words() -> str:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def table(rows: list[Row]) -> str:
    lines = ["| what | roj | beside it | goal |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.roj} | {row.beside} | {row.goal} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/performance.md")
    parser.add_argument("--only", nargs="*", help="names of parts: " + " ".join(PARTS))
    chosen = parser.parse_args()
    parts = chosen.only or PARTS
    with (
        tempfile.TemporaryDirectory() as directory,
        Consul() as consul,
        Docker() as engine,
        Registry() as registry,
    ):
        bench = Bench(consul, engine, Web(registry), Path(directory))
        bench.api.pull(bench.image)
        bench.agent.start()
        try:
            if "one_deploy" not in parts:
                bench.roj.ok("create", "web:v1", bench.image)
            for part in parts:
                if part == "commands":
                    fill(consul.store_url)
                getattr(bench, part)()
            version = bench.api.version()["Version"]
        finally:
            bench.agent.stop()
            bench.machine.clean("bench")
            bench.machine.close()
            bench.api.close()
    text = table(bench.rows)
    load = os.getloadavg()[2]
    words = (
        f"{machine_words()}, Docker {version}, {time.strftime('%Y-%m-%d')}; load over 15 minutes {load:.1f}"
    )
    print(f"\n{text}\n\n{words}")
    if chosen.write:
        keep(text, words)


def keep(text: str, words: str) -> None:
    path = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
    path.write_text(
        "# Performance\n\n"
        "Measured by `make bench` in one run; ratios within a run mean more than the figures. No test asserts a time.\n\n"
        f"{text}\n\nOn {words}.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
