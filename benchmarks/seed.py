"""Fills a store with instances, for measuring what lists cost."""

from __future__ import annotations

import os

from roj.api import keys
from roj.api.app import AppReference
from roj.api.instance import ContainerStatus, InstanceStatus, Write, new_instance
from roj.api.node import Node
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.interface import Operation, Set

NODES = 100


def seed(store_url: str, count: int) -> None:
    """Write `count` launched instances on 100 nodes."""
    environment = RealEnvironment()
    store = open_store(store_url, environment, {})
    now = environment.now()
    app = AppReference(name="web", version="v1", digest="0" * 64)
    operations: list[Operation] = [
        Set(keys.node(f"seed{node}"), Node(name=f"seed{node}", cluster="bench").encode())
        for node in range(NODES)
    ]
    for number in range(count):
        node, id = f"seed{number % NODES}", f"web-{number:05d}"
        uid, change = os.urandom(16).hex(), os.urandom(16).hex()
        instance = new_instance(id=id, node=node, uid=uid, write=Write(change, now, "bench@host"), app=app)
        container = ContainerStatus(
            name="web", id=os.urandom(32).hex(), image="registry.example/web:v1", state="running",
            ports={"80/tcp": 20000 + number % 10000},
        )  # fmt: skip
        status = InstanceStatus(
            id=id, node=node, uid=uid, app=app, phase="launched", goal="start", observed_generation=1, revision=change,
            since=now, ports=container.ports, containers=(container,),
        )  # fmt: skip
        operations.append(Set(keys.instance(node, id), instance.encode()))
        operations.append(Set(keys.instance_status(node, id), status.encode()))
    for start in range(0, len(operations), 60):
        store.transact(operations[start : start + 60])
    store.close()
