"""A seeded embedded store, and the command run on it in this process."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from roj.api import keys
from roj.api.app import App, AppReference, Container, Pin, Port
from roj.api.condition import Condition
from roj.api.event import Event
from roj.api.instance import AppUse, ContainerStatus, Instance, InstanceStatus, PortClaim, Write, new_instance
from roj.api.node import Cluster, MachineIdentity, Mark, Node, NodeStatus
from roj.cli.main import run
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import Store

WHEN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STAMP = "2026-11-22T08:00:00.000Z"
CLUSTER = "c" * 32


@dataclass(frozen=True)
class Done:
    """What a call of `roj` came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Seed:
    """Puts records into an embedded store as an operator and agents would have, and runs `roj` on it."""

    def __init__(self, directory: Path) -> None:
        self.url = f"sqlite://{directory / 'roj.db'}"
        self.store: Store = open_store(self.url, RealEnvironment(), {})
        self.session = self.store.open_session("test", ttl=60, checked=False)
        self.digests: dict[str, str] = {}

    def close(self) -> None:
        self.store.close()

    def roj(self, *words: str, **variables: str) -> Done:
        """Run `roj WORDS`, pointed at the store by ROJ_STORE."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words, variables={"ROJ_STORE": self.url, **variables})
        return Done(code, out.getvalue(), err.getvalue())

    def cluster(self) -> None:
        self.store.create(keys.CLUSTER, Cluster(id=CLUSTER, created=WHEN).encode())

    def app(self, name: str = "web", version: str = "v1", host: int | None = 8080) -> App:
        container = Container(name=name, image="nginx:1.7.1", ports=(Port(container=80, host=host),))
        app = App(name=name, version=version, containers=(container,), created=WHEN, created_by="anna@desk")
        self.store.create(keys.app(name, version), app.encode())
        self.store.create(keys.app_use(name, version), AppUse(change="x").encode())
        pin = Pin(image="nginx:1.7.1", digest="sha256:" + "1" * 64)
        self.store.create(keys.pin(name, version, name), pin.encode())
        return app

    def node(
        self, name: str, *, ready: bool = True, conditions: tuple[Condition, ...] = (), cordoned: bool = False
    ) -> None:
        mark = Mark(who="anna@desk", when=WHEN) if cordoned else None
        node = Node(name=name, cluster=CLUSTER, labels={"rack": "a"}, cordoned=mark)
        status = NodeStatus(
            name=name,
            address="10.0.0.1",
            versions={"agent": "0.1.0", "docker": "20.10.24"},
            since=WHEN,
            conditions=conditions,
        )
        identity = MachineIdentity(state_id="s", hostname=f"host-of-{name}", since=WHEN)
        self.store.create(keys.node(name), node.encode())
        self.store.create(keys.node_status(name), status.encode())
        if ready:
            assert self.store.acquire(keys.lease(name), identity.encode(), self.session)
        else:
            self.store.create(keys.lease(name), identity.encode())

    def instance(self, node: str, id: str, *, app: str = "web:v1", uid: str = "u1") -> Instance:
        name, _, version = app.partition(":")
        reference = AppReference(name=name, version=version, digest="d" * 64)
        instance = new_instance(
            id=id,
            node=node,
            uid=uid,
            write=Write(f"change-{id}", WHEN, "anna@desk", "try"),
            app=reference,
        )
        self.store.create(keys.instance(node, id), instance.encode())
        return instance

    def status(self, node: str, id: str, phase: str = "launched", **fields: Any) -> None:
        container = ContainerStatus(
            name="web", id="f" * 64, image="nginx:1.7.1", state="running", ports={"80/tcp": 8080}
        )
        given: dict[str, Any] = {
            "uid": "u1",
            "app": AppReference(name="web", version="v1", digest="d" * 64),
            "goal": "start",
            "observed_generation": 1,
            "since": WHEN,
            "ports": {"80/tcp": 8080},
            "containers": (container,),
        } | fields
        status = InstanceStatus.checked({"id": id, "node": node, "phase": phase, **given})
        self.store.create(keys.instance_status(node, id), status.encode())

    def claim(self, node: str, id: str, port: int, uid: str = "u1") -> None:
        self.store.create(keys.port(node, "tcp", port), PortClaim(uid=uid, instance=id).encode())

    def event(self, node: str, sequence: int, reason: str, **fields: Any) -> None:
        event = Event.checked(
            {"node": node, "reason": reason, "first": WHEN, "last": WHEN, "sequence": sequence, **fields}
        )
        self.store.create(f"{keys.events(node)}{sequence:03d}", event.encode())
