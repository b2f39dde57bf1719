"""Labels and names of what roj makes: how a container or a network is known as ours (DESIGN.md section 5).

Labels are written when something is made and only compared afterwards: a newer roj does not make an older container
drift. What lacks them, or carries another node's or cluster's, is never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from roj.api.app import Container
from roj.api.instance import Instance
from roj.runtime.interface import ContainerSummary

Found = TypeVar("Found", bound=ContainerSummary)

CLUSTER = "roj.cluster"
NODE = "roj.node"
INSTANCE = "roj.instance"
UID = "roj.uid"
REVISION = "roj.revision"
APP = "roj.app"
APP_DIGEST = "roj.app-digest"
CONTAINER = "roj.container"


@dataclass(frozen=True, slots=True)
class Owned:
    """What the labels of one of our containers or networks say."""

    cluster: str
    node: str
    instance: str
    uid: str
    revision: str
    app: str
    app_digest: str
    container: str
    """The container's name in its app; empty on a network."""

    def belongs_to(self, instance: Instance) -> bool:
        """Whether it is of this life and revision of the instance: not superseded."""
        return (self.instance, self.uid, self.revision) == (
            instance.id,
            instance.uid,
            instance.revision.id,
        )


def of_node(cluster: str, node: str) -> dict[str, str]:
    """The labels by which everything of one node is found."""
    return {CLUSTER: cluster, NODE: node}


def of_instance(cluster: str, node: str, instance: str) -> dict[str, str]:
    """The labels by which everything of one instance is found, of every life and revision."""
    return {**of_node(cluster, node), INSTANCE: instance}


def of_network(cluster: str, instance: Instance) -> dict[str, str]:
    """All labels of the network of the instance's current revision."""
    return {
        **of_instance(cluster, instance.node, instance.id),
        UID: instance.uid,
        REVISION: instance.revision.id,
        APP: str(instance.revision.app),
        APP_DIGEST: instance.revision.app.digest,
    }


def of_container(cluster: str, instance: Instance, container: Container) -> dict[str, str]:
    """All labels of a container of the instance's current revision, the app's own among them."""
    return {**container.labels, **of_network(cluster, instance), CONTAINER: container.name}


def parse(labels: Mapping[str, str]) -> Owned | None:
    """What the labels say; None where they are not a complete set of roj's."""
    if not all(labels.get(key) for key in (CLUSTER, NODE, INSTANCE, UID, REVISION)):
        return None
    return Owned(
        cluster=labels[CLUSTER],
        node=labels[NODE],
        instance=labels[INSTANCE],
        uid=labels[UID],
        revision=labels[REVISION],
        app=labels.get(APP, ""),
        app_digest=labels.get(APP_DIGEST, ""),
        container=labels.get(CONTAINER, ""),
    )


def owned(labels: Mapping[str, str], cluster: str, node: str) -> Owned | None:
    """What the labels say, if they are this node's; None for everybody else's."""
    found = parse(labels)
    return found if found is not None and (found.cluster, found.node) == (cluster, node) else None


def is_current(labels: Mapping[str, str], instance: Instance) -> bool:
    """Whether something is of the instance's life and current revision: not superseded."""
    found = parse(labels)
    return found is not None and found.belongs_to(instance)


def current(found: Iterable[Found], instance: Instance) -> dict[str, Found]:
    """The containers of the instance's life and current revision, by their names in the app."""
    return {each.labels.get(CONTAINER, ""): each for each in found if is_current(each.labels, instance)}


def container_name(cluster: str, instance: Instance, container: str) -> str:
    """The one name that a container of the current revision can have: a repeated create collides."""
    return f"roj-{instance.id}-{container}-{_hash(cluster, instance, container)}"


def network_name(cluster: str, instance: Instance) -> str:
    """The name of the current revision's network. Docker lets several have it: find networks by label."""
    return f"roj-{instance.id}-{_hash(cluster, instance)}"


def _hash(cluster: str, instance: Instance, *more: str) -> str:
    identity = "\0".join((cluster, instance.node, instance.uid, instance.revision.id, *more))
    return hashlib.sha256(identity.encode()).hexdigest()[:12]
