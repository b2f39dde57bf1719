"""Keys of the store (DESIGN.md section 2). Every prefix ends in `/`: else `n1` is also `n10`."""

from __future__ import annotations

ROOT = "roj/v1/"
CLUSTER = ROOT + "cluster"
APPS = ROOT + "apps/"
APP_USE = ROOT + "app-use/"
PINS = ROOT + "pins/"
DESIRED = ROOT + "desired/"
OBSERVED = ROOT + "observed/"
EVENTS = ROOT + "events/"
OPERATORS = EVENTS + "@operators/"
"""Events that operators write; no node can be called so."""
LOCKS = ROOT + "locks/"
ROLLOUTS = ROOT + "rollouts/"
ROLLOUT_STATUS = ROOT + "rollout-status/"


def app(name: str, version: str) -> str:
    return f"{APPS}{name}/{version}"


def app_use(name: str, version: str) -> str:
    return f"{APP_USE}{name}/{version}"


def pins(name: str, version: str) -> str:
    return f"{PINS}{name}/{version}/"


def pin(name: str, version: str, container: str) -> str:
    return f"{PINS}{name}/{version}/{container}"


def desired(node: str) -> str:
    """The one prefix that a node's agent watches."""
    return f"{DESIRED}{node}/"


def node(name: str) -> str:
    """The sentinel."""
    return f"{DESIRED}{name}/node"


def instances(node: str) -> str:
    return f"{DESIRED}{node}/instances/"


def instance(node: str, id: str) -> str:
    return f"{DESIRED}{node}/instances/{id}"


def ports(node: str) -> str:
    return f"{DESIRED}{node}/ports/"


def port(node: str, protocol: str, number: int) -> str:
    return f"{DESIRED}{node}/ports/{protocol}-{number}"


def pulls(node: str) -> str:
    return f"{DESIRED}{node}/pulls/"


def pull(node: str, name: str, version: str) -> str:
    return f"{DESIRED}{node}/pulls/{name}/{version}"


def pull_statuses(node: str) -> str:
    return f"{OBSERVED}{node}/pulls/"


def pull_status(node: str, name: str, version: str) -> str:
    return f"{OBSERVED}{node}/pulls/{name}/{version}"


def observed(node: str) -> str:
    return f"{OBSERVED}{node}/"


def node_status(name: str) -> str:
    return f"{OBSERVED}{name}/node"


def lease(node: str) -> str:
    return f"{OBSERVED}{node}/lease"


def instance_status(node: str, id: str) -> str:
    return f"{OBSERVED}{node}/instances/{id}"


def history(node: str, id: str) -> str:
    return f"{ROOT}history/{node}/{id}"


def events(node: str) -> str:
    return f"{EVENTS}{node}/"


def lock(name: str) -> str:
    return f"{LOCKS}{name}"


def rollout(name: str) -> str:
    return f"{ROLLOUTS}{name}"


def rollout_status(name: str) -> str:
    return f"{ROLLOUT_STATUS}{name}"
