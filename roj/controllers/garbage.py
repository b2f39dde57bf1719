"""What is garbage on a node, and why: pure functions of what is desired and what is there.

Everything here errs on the side of keeping. An image is garbage only if this node pulled it, nothing uses it, and
nothing that is desired needs it or may be rolled back to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from roj.controllers import labels
from roj.controllers.image_puller import PulledImage
from roj.runtime.interface import ContainerSummary, DiskUsage, Image, Network

MINIMUM_AGE = timedelta(minutes=2)
"""An image is kept that long after it was pulled or last used (Kubernetes' kubelet has the same default)."""
HIGH = 0.85
LOW = 0.80
"""Images are collected when the disk is fuller than HIGH, until it is down to LOW (kubelet's defaults)."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing to remove."""

    what: Literal["container", "network", "image"]
    id: str
    """The container's or network's id; an image's reference."""
    name: str
    why: str
    size: int = 0
    """Bytes, of an image."""


def container_garbage(
    mine: Iterable[ContainerSummary],
    known: Collection[str],
    finished: Collection[str],
    unclaimed_for: Mapping[str, float],
    reap_after: float | None,
) -> tuple[Garbage, ...]:
    """Containers of this node that nobody wants.

    Args:
        mine: all containers with this node's labels.
        known: ids of the instances that have a record, readable or not, or an order whose record is not known to be
            gone: the deploy controller's.
        finished: uids whose undeploy this node finished.
        unclaimed_for: seconds since containers without an instance were first seen, by their uid.
        reap_after: `--reap-unclaimed`; None: such containers are kept.
    """
    found = []
    for container in mine:
        owned = labels.parse(container.labels)
        if owned is None or owned.instance in known:
            continue
        if owned.uid in finished:
            found.append(
                Garbage("container", container.id, container.name, f"{owned.instance} was undeployed")
            )
        elif reap_after is not None and unclaimed_for.get(owned.uid, 0.0) >= reap_after:
            why = f"unclaimed for longer than {reap_after:g} s (--reap-unclaimed)"
            found.append(Garbage("container", container.id, container.name, why))
    return tuple(found)


def network_garbage(
    networks: Iterable[Network], containers: Iterable[ContainerSummary], known: Collection[str]
) -> tuple[Garbage, ...]:
    """Networks of this node that no container is on and no instance asks for.

    Args:
        networks: with this node's labels.
        containers: all containers of the daemon.
        known: ids of the instances that have an order or a record.
    """
    used = [name for container in containers for name in container.networks]
    found = []
    for network in networks:
        owned = labels.parse(network.labels)
        if owned is None or owned.instance in known or network.id in used or network.name in used:
            continue
        found.append(Garbage("network", network.id, network.name, f"{owned.instance} is gone"))
    return tuple(found)


def image_garbage(
    images: Sequence[Image],
    pulled: Mapping[str, PulledImage],
    containers: Iterable[ContainerSummary],
    *,
    needed: Collection[str],
    last_used: Mapping[str, datetime],
    now: datetime,
) -> tuple[Garbage, ...]:
    """Images that this node pulled and nobody needs, those that were used longest ago first.

    Args:
        images: all on the machine.
        pulled: what this node pulled, by reference.
        containers: all containers of the daemon, running or not.
        needed: references that anything desired needs or may be rolled back to.
        last_used: when an image was last in use, by image id; absent: not since the agent knows.
        now: the wall clock.
    """
    by_id = {image.id: image for image in images}
    used = {container.image_id: None for container in containers}
    used_names = {container.image: None for container in containers}
    needed_ids = {ours.id: None for reference, ours in pulled.items() if reference in needed}
    found = []
    for reference, ours in pulled.items():
        image = by_id.get(ours.id)
        if image is None or ours.id in used or reference in used_names:
            continue
        if reference in needed or ours.id in needed_ids:
            continue
        if any(tag in needed for tag in image.tags):
            continue
        since = max(ours.when, last_used.get(ours.id, ours.when))
        if now - since >= MINIMUM_AGE:
            found.append((since, Garbage("image", reference, reference, "nothing uses it", image.size)))
    return tuple(garbage for _, garbage in sorted(found, key=lambda pair: (pair[0], pair[1].id)))


def over_threshold(usage: DiskUsage | None, high: float = HIGH) -> bool:
    """Whether images should be collected for want of space."""
    return usage is not None and usage.total > 0 and usage.used / usage.total > high


def enough(garbage: Iterable[Garbage], usage: DiskUsage, low: float = LOW) -> tuple[Garbage, ...]:
    """As many images of `garbage`, in order, as bring the disk down to `low`."""
    chosen, used = [], usage.used
    for item in garbage:
        if used <= low * usage.total:
            break
        chosen.append(item)
        used -= item.size
    return tuple(chosen)
