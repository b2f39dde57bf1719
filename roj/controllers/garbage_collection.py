"""Garbage collection: removes what nobody wants any more (roj/controllers/garbage.py says what that is).

Before it removes anything it reads what is desired with `consistent`, after it looked at what is there; where that fails
or cannot be believed, it removes nothing. Old events need no collector: their ring writes over itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from roj.api import keys
from roj.api.app import App, AppReference
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance
from roj.api.pull import PullOrder
from roj.controllers import garbage, labels
from roj.controllers.garbage import Garbage, container_garbage, image_garbage, network_garbage
from roj.controllers.image_puller import ImagePuller
from roj.controllers.orders import Orders
from roj.controllers.pulls_ahead import PullsAhead
from roj.controllers.this_node import ThisNode
from roj.environment import Environment
from roj.runtime.interface import ContainerSummary, InUse, NotFound, Runtime
from roj.store.interface import Listing, Store, StoreError
from roj.store.pool import StorePool

log = logging.getLogger(__name__)

NODE = "node"
"""The one key of this controller."""
EVERY = 60.0
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When garbage is collected without being asked for."""

    high: float = garbage.HIGH
    """Share of the disk in use above which unused images go."""
    low: float = garbage.LOW
    """Share of the disk in use down to which they go."""
    reap_unclaimed: float | None = None
    """Seconds after which unclaimed containers go; None: never."""
    shared_images: bool = False
    """Collect images though another agent's containers are on the daemon."""


class CollectionRefused(Exception):
    """Nothing is collected now; the message says why."""


@dataclass(frozen=True, slots=True)
class _Desired:
    ids: tuple[str, ...]
    images: tuple[str, ...]
    images_known: str
    """Why it is not known which images are needed; empty: it is known."""


class GarbageCollection:
    """The garbage collection controller's handler."""

    name = "garbage-collection"

    def __init__(
        self,
        environment: Environment,
        node: ThisNode,
        orders: Orders,
        *,
        runtime: Runtime,
        puller: ImagePuller | None,
        clients: StorePool,
        limits: Limits,
        ahead: PullsAhead | None = None,
        believe: Callable[[Listing], str | None],
        tell: Callable[[str, str, str, bool], None],
    ) -> None:
        """
        Args:
            puller: owns the images; None: it does not run, and no image is collected.
            ahead: what is pulled ahead of any instance (`roj pull`): it stays until it is used, or expires.
            believe: why a listing of `desired/<node>/` cannot be true, or None.
            tell: an event: reason, message, instance, whether it is a warning.
        """
        self._environment = environment
        self._node = node
        self._orders = orders
        self._runtime = runtime
        self._puller = puller
        self._ahead = ahead
        self._clients = clients
        self._limits = limits
        self._believe = believe
        self._tell = tell
        self._last_used: dict[str, datetime] = {}
        self._unclaimed_since: dict[str, float] = {}  # by uid
        self._began = environment.now()

    def reconcile(self, _: str) -> float | None:
        """Collect what is due by itself: what was left of undeploys, and images when the disk is full."""
        try:
            found = self.plan()
        except CollectionRefused as why:
            log.info("nothing is collected: %s", why)
            return EVERY
        usage = self._runtime.disk_usage()
        due = [item for item in found if item.what != "image"]
        if usage is not None and garbage.over_threshold(usage, self._limits.high):
            images = (item for item in found if item.what == "image")
            due.extend(garbage.enough(images, usage, self._limits.low))
        self.collect(due)
        self._give_up_what_left_nothing()
        return EVERY

    def plan(self) -> tuple[Garbage, ...]:
        """All that could be removed now: the answer to `roj node gc --dry-run`.

        Raises:
            CollectionRefused: what is desired is not known for certain, or nothing may be changed here.
            RuntimeFailure: Docker failed.
        """
        if not self._node.cluster() or not self._node.may_act():
            raise CollectionRefused(
                "the node is in no cluster, or another machine is its agent, or it was forgotten"
            )
        if (mark := self._node.frozen()) is not None:
            raise CollectionRefused(f"the node is {mark.in_words('frozen')}")
        containers = self._runtime.containers()
        mine = [c for c in containers if self._owned(c) is not None]
        networks = self._runtime.networks(labels.of_node(self._node.cluster(), self._node.name))
        images = self._runtime.images()
        now = self._environment.now()
        for container in containers:
            self._last_used[container.image_id] = now
        desired = self._desired()
        orders = self._orders.all()
        known = (*desired.ids, *(order.id for order in orders if not order.absent))
        absent = {order.id: order.absent_since for order in orders if order.id not in known}
        self._note_unclaimed(
            {
                **{order.instance.uid: absent[order.id] for order in orders if order.id in absent},
                **{
                    c.labels[labels.UID]: absent.get(c.labels[labels.INSTANCE], 0.0)
                    for c in mine
                    if c.labels[labels.INSTANCE] not in known
                },
            }
        )
        finished = [
            uid for c in mine if self._is_over(c.labels[labels.INSTANCE], uid := c.labels[labels.UID])
        ]
        found = [
            *container_garbage(
                mine,
                known,
                finished,
                self._unclaimed_for(),
                self._limits.reap_unclaimed,
            ),
            *network_garbage(networks, containers, (*desired.ids, *(order.id for order in orders))),
        ]
        if self._puller is not None and not desired.images_known and not self._shared(containers):
            last_used = {image.id: self._last_used.get(image.id, self._began) for image in images}
            pulled = self._puller.pulled()
            found.extend(
                image_garbage(images, pulled, containers, needed=desired.images, last_used=last_used, now=now)
            )
        return tuple(found)

    def collect(self, due: list[Garbage]) -> tuple[Garbage, ...]:
        """Remove `due`, a plan made just now; what was removed. What is in use after all stays."""
        removed = []
        for item in due:
            try:
                if self._remove(item):
                    removed.append(item)
                    log.info("removed %s %s: %s", item.what, item.name, item.why)
            except InUse as reason:
                log.info("kept %s %s: %s", item.what, item.name, reason)
        if removed:
            names = ", ".join(f"{item.what} {item.name}" for item in removed)
            self._tell("Collected", names[:500], "", False)
        return tuple(removed)

    # --- inside ---

    def _remove(self, item: Garbage) -> bool:
        match item.what:
            case "container":
                with suppress(NotFound):
                    owned = labels.parse(self._runtime.container(item.id).labels)
                    if owned is None:
                        return False
                    if not (self._is_over(owned.instance, owned.uid) or self._orders.give_up(owned.instance)):
                        return False  # claimed after all
                    self._runtime.set_restart_policy(item.id, "no")
                    self._runtime.stop(item.id, self._node.stop_grace)
                self._runtime.remove(item.id)
                return True
            case "network":
                self._runtime.remove_network(item.id)
                return True
            case "image":
                assert self._puller is not None
                return self._puller.remove(item.id, lambda: not self._needed_now(item.id))

    def _needed_now(self, reference: str) -> bool:
        """A last look at what this node obeys: an order may have come since the plan."""
        if self._ahead is not None and self._ahead.wanting(reference):
            return True
        return any(
            order.app is None or any(c.image == reference for app in order.apps for c in app.containers)
            for order in self._orders.all()
        )

    def _desired(self) -> _Desired:
        with self._clients.client() as store:
            try:
                listing = store.list(keys.desired(self._node.name), consistent=True)
                if (doubt := self._believe(listing)) is not None:
                    raise CollectionRefused(doubt)
                return self._read(store, listing)
            except StoreError as error:
                raise CollectionRefused(f"the store does not answer: {error}") from error

    def _read(self, store: Store, listing: Listing) -> _Desired:
        prefix, ahead = keys.instances(self._node.name), keys.pulls(self._node.name)
        ids, unknown = [], ""
        pulls: list[AppReference] = []
        references = {str(ref): ref for order in self._orders.all() for ref in order.references()}
        for entry in listing.entries:
            if entry.key.startswith(ahead):
                try:
                    pulls += self._kept_ahead(PullOrder.decode(entry.value))
                except UnreadableRecord as problem:
                    unknown = f"{entry.key} does not parse: {problem}"
            if not entry.key.startswith(prefix):
                continue
            ids.append(entry.key.removeprefix(prefix))
            try:
                instance = Instance.decode(entry.value)
            except UnreadableRecord as problem:
                unknown = f"the record of {ids[-1]} does not parse: {problem}"
                continue
            references.update({str(revision.app): revision.app for revision in instance.revisions})
        images: list[str] = []
        for reference in references.values():
            app = self._app(store, reference)
            if app is None:
                unknown = unknown or f"app {reference} is not known"
            else:
                images.extend(container.image for container in app.containers)
        for reference in pulls:
            app = self._app(store, reference)  # removed from the store: then nobody will use it
            images.extend(container.image for container in (app.containers if app is not None else ()))
        return _Desired(tuple(ids), tuple(images), unknown)

    def _app(self, store: Store, reference: AppReference) -> App | None:
        app = self._orders.app(reference)
        if app is not None:
            return app
        entry = store.get(keys.app(reference.name, reference.version), consistent=True)
        try:
            return App.decode(entry.value) if entry is not None else None
        except UnreadableRecord:
            return None

    def _kept_ahead(self, order: PullOrder) -> tuple[AppReference, ...]:
        """The app of a pull that waits for an instance."""
        over = order.expires <= self._environment.now()
        used = self._ahead is not None and self._ahead.used(order)
        return () if over or used else (order.app,)

    def _owned(self, container: ContainerSummary) -> labels.Owned | None:
        return labels.owned(container.labels, self._node.cluster(), self._node.name)

    def _shared(self, containers: Iterable[ContainerSummary]) -> bool:
        """Whether another agent's containers are on the daemon: its images may look unused from here."""
        if self._limits.shared_images:
            return False
        others = (
            labels.parse(container.labels) for container in containers if self._owned(container) is None
        )
        return any(other is not None for other in others)

    def _give_up_what_left_nothing(self) -> None:
        """`--reap-unclaimed`, of instances that have no container: their orders are all that is left of them."""
        after = self._limits.reap_unclaimed
        if after is None:
            return
        times = self._unclaimed_for()
        for order in self._orders.all():
            if order.absent and times.get(order.instance.uid, 0.0) >= after:
                scope = labels.of_instance(self._node.cluster(), self._node.name, order.id)
                if not self._runtime.containers(scope) and self._orders.give_up(order.id):
                    log.info("gave up %s: unclaimed for longer than %g s (--reap-unclaimed)", order.id, after)

    def _is_over(self, id: str, uid: str) -> bool:
        """Whether that life of an instance was undeployed, and no operator has brought it back since."""
        order = self._orders.get(id)
        return self._orders.is_finished(uid) and (order is None or order.instance.uid != uid)

    def _unclaimed_for(self) -> dict[str, float]:
        now = self._environment.monotonic()
        return {uid: now - since for uid, since in self._unclaimed_since.items()}

    def _note_unclaimed(self, uids: Mapping[str, float]) -> None:
        """Those that are unclaimed now, with when their record was gone, as far as that was seen: between two looks it
        may have been there again."""
        now = self._environment.monotonic()
        self._unclaimed_since = {
            uid: max(self._unclaimed_since.get(uid, now), since) for uid, since in uids.items()
        }
