"""A rollout over 100 nodes: agents in this process, on an embedded store in memory, with simulated containers."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from roj.agent.agent import Agent
from roj.agent.leader import Leader
from roj.agent.options import AgentOptions
from roj.agent.state_directory import StateDirectory
from roj.api.app import AppSpec
from roj.api.node import MachineIdentity
from roj.api.rollout import Share
from roj.client.apps import create_app
from roj.client.client import Client
from roj.client.deployment import deploy
from roj.client.rollout_view import get_rollout
from roj.client.rollouts import Terms, start_rollout
from roj.client.view import View
from roj.environment import RealEnvironment
from roj.framework.counted import CountedStore
from roj.framework.metrics import Metrics
from roj.runtime.simulated import SimulatedRuntime
from roj.store.embedded import EmbeddedStore
from tests.e2e.harness import wait_for

NODES = 100
BATCH = 10


def rollout(add: Callable[..., None]) -> None:
    """Measure one rollout from its start to its end, and what its leader asks of the store."""
    environment = RealEnvironment()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = EmbeddedStore(environment, None)
        stack.callback(store.close)
        names = [f"node{number:03d}" for number in range(NODES)]
        for name in names:
            stack.callback(_agent(environment, store, name, directory).stop)
        client = Client(store, environment, "bench@host")
        for version in ("v1", "v2"):
            spec = AppSpec.checked({"containers": [{"name": "web", "image": f"web:{version}"}]})
            create_app(client, "web", version, spec)
        deploy(client, "web", "v1", names)
        _all_launched(client, "web:v1")
        metrics = Metrics()
        leader = Leader(environment, CountedStore(store, metrics), "leader", "yes", joined=lambda: True)
        thread = threading.Thread(target=leader.run, daemon=True)
        thread.start()
        began = time.monotonic()
        start_rollout(client, "two", ("web", "v2"), "web", Terms(batch=Share(number=BATCH)))
        wait_for("it is done", lambda: get_rollout(client, "two").phase == "done", timeout=600, every=0.5)
        took = time.monotonic() - began
        _all_launched(client, "web:v2")
        leader.stop()
        thread.join(5)
        reads, writes = _asked(metrics, ("get", "list", "watch")), _asked(metrics, ("transact",))
    add(
        f"a rollout over {NODES} simulated nodes, {BATCH} at once",
        f"{took:.1f} s; its leader asked {reads / NODES:.1f} reads and {writes / NODES:.1f} writes of the store a node",
        f"{NODES / BATCH:.0f} times the second that a container must have run",
    )


def _agent(environment: RealEnvironment, store: EmbeddedStore, name: str, directory: Path) -> Agent:
    state = StateDirectory(directory / name)
    identity = MachineIdentity(state_id=name, since=environment.now())
    agent = Agent(
        environment, AgentOptions(node=name, state_dir=state.path, lead="no"), name,
        store=store, runtime=SimulatedRuntime(environment), state=state, identity=lambda: identity,
    )  # fmt: skip
    agent.start()
    return agent


def _all_launched(client: Client, app: str) -> None:
    def look() -> bool:
        rows = View(client.store).instances()
        return len(rows) == NODES and all(row.phase == "launched" and row.observed_app == app for row in rows)

    wait_for(f"all run {app}", look, timeout=300, every=0.5)


def _asked(metrics: Metrics, operations: tuple[str, ...]) -> float:
    return sum(
        sample.value
        for family in metrics.store_requests.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["operation"] in operations
    )
