"""The orders of this node: what was read, believed, judged, and written down before anything is done for it.

The watcher hands every believed listing to `take`; the controllers ask with `get` what to work on. The state directory
holds `orders/<id>`, `apps/<digest>` and `finished`: a node without Consul keeps and repairs what it was last told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from logging import getLogger

from roj.api import keys
from roj.api.app import App, AppReference
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance
from roj.api.record import digest_of
from roj.controllers.labels import Owned
from roj.controllers.order import (
    PAST,
    FailedUpgrade,
    Finished,
    Mode,
    Obeyed,
    Order,
    from_labels,
    judge,
    serving_by_labels,
)
from roj.controllers.state import StateDirectory
from roj.environment import Environment
from roj.framework.watcher import View
from roj.store.interface import Entry
from roj.store.pool import StorePool

log = getLogger(__name__)


class Orders:
    """What this node obeys. Safe to use from several threads; `take` is called by the watcher's thread alone."""

    def __init__(
        self,
        environment: Environment,
        state: StateDirectory,
        clients: StorePool,
        node: str,
        *,
        containers: Callable[[], Iterable[Owned]],
        waits: Callable[[Order], bool],
        wake: Callable[[str, str], None],
    ) -> None:
        """Read the orders of the state directory.

        Args:
            environment: clock and locks.
            state: where orders are kept.
            clients: for the `consistent` second look.
            node: this node's name.
            containers: what the labels of this node's containers say; asked for only where orders were lost.
            waits: whether a change that is new is kept back for now.
            wake: called with an instance's id and the reason whenever its order is another.
        """
        self._environment = environment
        self._state = state
        self._clients = clients
        self._prefix = keys.instances(node)
        self._node = node
        self._containers = containers
        self._waits = waits
        self._wake = wake
        self._lock = environment.lock()
        self._writing = environment.lock()
        """Held while an order is written down and put in place; never while the store or Docker is asked."""
        self._orders: dict[str, Order] = {}
        self._apps: dict[str, App] = {}
        self._unreadable: dict[str, str] = {}
        self._finished = Finished()
        self._listed = False
        self._lost: tuple[str, ...] | None = ()
        """Ids whose orders were lost with the state directory; None: all."""
        self._labelled: tuple[Owned, ...] | None = None
        self._load()

    # --- what the controllers ask ---

    def get(self, id: str) -> Order | None:
        """The order for an instance, with its app where it is known."""
        with self._lock:
            order = self._orders.get(id)
            return self._with_apps(order) if order else None

    def all(self) -> tuple[Order, ...]:
        """All orders, by id."""
        with self._lock:
            return tuple(self._with_apps(order) for _, order in sorted(self._orders.items()))

    def app(self, reference: AppReference) -> App | None:
        """An app that an order refers to, if it is known."""
        with self._lock:
            return self._apps.get(reference.digest)

    @property
    def listed(self) -> bool:
        """Whether a listing was taken since the start: before, no order means that it is not known, not that there is
        none."""
        with self._lock:
            return self._listed

    def unreadable(self, id: str) -> str | None:
        """Why the record of an instance without an order cannot be read."""
        with self._lock:
            return self._unreadable.get(id)

    def unreadable_ids(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._unreadable))

    # --- what the watcher brings ---

    def take(self, view: View) -> None:
        """Judge what a believed listing says.

        Raises:
            OSError: an order could not be written down. It is not obeyed; the watcher brings it again.
            StoreError: a second look was needed and failed. The same.
            RuntimeFailure: labels were needed in place of lost state, and Docker did not answer. The same.
        """
        changed = [key for key in view.changed if key.startswith(self._prefix)]
        if view.first or view.reset:
            with self._lock:
                known = [self._prefix + id for id in self._orders]
            listed = [key for key in view.entries if key.startswith(self._prefix)]
            changed = sorted(dict.fromkeys([*known, *listed, *changed]))
        first_failure: Exception | None = None
        for key in changed:
            try:
                self._consider(key.removeprefix(self._prefix), view.entries.get(key))
            except Exception as failure:  # noqa: BLE001  (one order's trouble must not keep the others back)
                log.warning("order for %s not taken: %s", key.removeprefix(self._prefix), failure)
                first_failure = first_failure or failure
        if first_failure is not None:
            raise first_failure
        with self._lock:
            self._listed = True

    def confirm(self, id: str) -> Entry | None:
        """Read an instance's record with `consistent`, as is due before anything is removed for it.

        A newer order found so is taken. Returns: the record, if it is the one that is obeyed; else None.

        Raises:
            StoreError: the store did not answer.
        """
        entry = self._read(id)
        if entry is None:
            return None
        self._consider(id, entry)
        order = self.get(id)
        seen = _decoded(entry, id, self._node)
        if order is None or isinstance(seen, str) or order.mode != "obey":
            return None
        return entry if seen.change == order.instance.change else None

    # --- what the deploy controller notes ---

    def learn(self, reference: AppReference, value: bytes) -> None:
        """Keep an app's record as stored.

        Raises:
            UnreadableRecord: it does not parse, or is another app than the reference means.
            OSError: it could not be written down.
        """
        if digest_of(value) != reference.digest:
            raise UnreadableRecord(
                f"the store's record of app {reference} is another one than was deployed "
                f"(digest {digest_of(value)[:12]}, not {reference.digest[:12]})"
            )
        app = App.decode(value)
        self._state.write(f"apps/{reference.digest}", value)
        with self._lock:
            self._apps[reference.digest] = app

    def launched(self, order: Order) -> None:
        """Note that the order's revision was launched, before anything of the one before is removed. Raises OSError."""
        revision = order.instance.revision
        if order.obeyed.serving != revision or order.obeyed.idle or order.obeyed.failed is not None:
            self._amend(order, {"serving": revision, "idle": False, "failed": None})

    def failed(self, order: Order, reason: str, message: str) -> None:
        """Note that the upgrade to the order's revision failed, before the old one is started. Raises OSError."""
        revision = order.instance.revision
        failed = FailedUpgrade(
            revision=revision.id, generation=revision.generation, reason=reason, message=message,
            when=self._environment.now(),
        )  # fmt: skip
        self._amend(order, {"failed": failed})

    def begin(self, order: Order) -> None:
        """Note that the order's change waits no longer, before it is acted on. Raises OSError."""
        if order.obeyed.waiting:
            self._amend(order, {"waiting": False})

    def assign_ports(self, order: Order, ports: Mapping[str, int]) -> None:
        """Note the dynamic ports of the order's revision before anything is created with them. Raises OSError."""
        if order.ports == ports:
            return
        with self._writing:
            with self._lock:
                current = self._orders.get(order.id)
            if current is None or current.instance.uid != order.instance.uid:
                return
            kept = (current.instance.revision.id, current.obeyed.launched)
            assigned = {**current.obeyed.ports, order.instance.revision.id: dict(ports)}
            assigned = {revision: of for revision, of in assigned.items() if revision in kept}
            self._write(current, current.obeyed.model_copy(update={"ports": assigned}))

    def finishing(self, order: Order) -> None:
        """Note an undeploy as finished, before the store is told. Raises OSError."""
        with self._writing:
            finished = self._finished
            for uid in (*order.obeyed.lives, order.instance.uid):
                own = uid == order.instance.uid
                obeyed = dict.fromkeys((*order.instance.lineage, *order.obeyed.past)) if own else ()
                finished = finished.plus(uid, self._environment.now(), tuple(obeyed)[:PAST])
            self._state.write("finished", finished.encode())
            with self._lock:
                self._finished = finished

    def is_finished(self, uid: str) -> bool:
        """Whether this node finished the undeploy of that life of an instance."""
        with self._lock:
            return uid in self._finished.uids

    def drop(self, order: Order) -> bool:
        """Forget an order whose undeploy is done, in the store too; whether it was still known. Raises OSError."""
        with self._writing:
            with self._lock:
                current = self._orders.get(order.id)
                if current is None or current.instance.change != order.instance.change:
                    return False
                del self._orders[order.id]
                if (older := current.held) is not None:
                    # Meanwhile the store went back to before the undeploy: nobody tells of that a second time.
                    self._orders[order.id] = _resurrected(older)
                used = {app.digest: None for other in self._orders.values() for app in other.references()}
                unused = [digest for digest in self._apps if digest not in used]
                for digest in unused:
                    del self._apps[digest]
            self._state.delete(f"orders/{order.id}")
            for digest in unused:
                self._state.delete(f"apps/{digest}")
        if older is not None:
            self._wake(order.id, "StoreWentBack")
        return True

    def give_up(self, id: str) -> bool:
        """Forget an order whose record is gone; whether there is none now: containers are nobody's. Raises OSError."""
        order = self.get(id)
        if order is None or not order.absent:
            return order is None
        self.drop(order)
        self._wake(id, "it is not kept any longer")
        return self.get(id) is None

    # --- inside ---

    def _load(self) -> None:
        found = self._state.read("finished")
        if found is not None:
            self._finished = Finished.decode(found.value)
        if self._state.read("cluster") is None:
            self._lost = None
        for name in self._state.names("apps/"):
            file = self._state.read(name)
            digest = name.removeprefix("apps/")
            if file is not None and digest_of(file.value) == digest:
                self._apps[digest] = App.decode(file.value)
        for name in self._state.names("orders/"):
            id = name.removeprefix("orders/")
            file = self._state.read(name)
            if file is None:
                log.warning("the state file of %s is damaged, its previous copy too", id)
                self._lost = (*self._lost, id) if self._lost is not None else None
                continue
            mode: Mode = "preserve" if file.previous else "obey"
            self._orders[id] = Order(Obeyed.decode(file.value), mode=mode)

    def _consider(self, id: str, entry: Entry | None) -> None:
        with self._lock:
            order = self._orders.get(id)
            self._unreadable.pop(id, None)
        if entry is None:
            if order is not None and not order.absent:
                entry = self._read(id)  # a spurious 404 is no deletion
            if entry is None:
                if order is not None and not order.absent:
                    now = self._environment.monotonic()
                    gone = replace(order, absent=True, absent_since=now, held=None, mode=_kept(order))
                    self._put(gone, "its record is gone", replaces=order)
                return
        seen = _decoded(entry, id, self._node)
        if isinstance(seen, str):
            self._not_understood(id, order, seen)
            return
        verdict = self._verdict(order, seen)
        if verdict == "hold":
            again = self._read(id)
            if again is not None and again.value != entry.value:
                newer = _decoded(again, id, self._node)
                if isinstance(newer, str):
                    self._not_understood(id, order, newer)
                    return
                seen, verdict = newer, self._verdict(order, newer)
        if verdict == "hold":
            self._hold(order, seen)
        elif verdict == "obey":
            self._obey(seen, f"{seen.goal}, generation {seen.generation}")
        elif order is not None and (order.mode != "obey" or order.absent or order.held or order.unreadable):
            self._obey(seen, "the store has its record again")

    def _verdict(self, order: Order | None, seen: Instance) -> str:
        with self._lock:
            finished, undeployed = self._finished.uids, self._finished.lineages.get(seen.uid, ())
        obeyed = None if order is None or order.resurrected else order.instance
        return judge(
            obeyed,
            finished,
            seen,
            past=(*undeployed, *(order.obeyed.past if order is not None else ())),
            held=order.held if order is not None else None,
            containers=self._labels_of(seen.id) if obeyed is None else (),
        )

    def _hold(self, order: Order | None, seen: Instance) -> None:
        if order is not None and order.held is not None and order.held.change == seen.change:
            return
        log.warning("the store holds an older order for %s: it went back; holding", seen.id)
        if order is None:
            labelled = [found for found in self._labels_of(seen.id) if found.uid == seen.uid]
            if labelled:
                instance = from_labels(labelled[-1], self._environment.now())
                lost = Obeyed(instance=instance, serving=instance.revision)
                self._put(Order(lost, mode="preserve", held=seen), "StoreWentBack")
            else:
                self._put(_resurrected(seen), "StoreWentBack")
        else:
            self._put(
                replace(order, held=seen, absent=False, unreadable="", mode=_kept(order)), "StoreWentBack"
            )

    def _not_understood(self, id: str, order: Order | None, why: str) -> None:
        log.warning("the record of %s is not understood: %s", id, why)
        if order is not None:
            if order.unreadable != why:
                self._put(replace(order, unreadable=why, absent=False), "its record does not parse")
            return
        with self._lock:
            self._unreadable[id] = why
        self._wake(id, "its record does not parse")

    def _obey(self, seen: Instance, reason: str) -> None:
        with self._writing:
            with self._lock:
                before = self._orders.get(seen.id)
            past: tuple[str, ...] = ()
            if before is not None and not before.resurrected:
                past = before.obeyed.past
                if before.instance.change != seen.change:
                    past = (before.instance.change, *past)[:PAST]
            lives: tuple[str, ...] = ()
            if before is not None and not before.resurrected and before.instance.uid != seen.uid:
                lives = (before.instance.uid, *before.obeyed.lives)[:PAST]
            obeyed = Obeyed(instance=seen, past=past, lives=lives)
            if before is not None and before.instance.uid == seen.uid and not before.resurrected:
                obeyed = before.obeyed.model_copy(update={"instance": seen, "past": past})
                if not before.obeyed.waiting:  # else the change before this one was never acted on
                    idle = before.obeyed.idle or before.instance.goal == "stop"
                    obeyed = obeyed.model_copy(update={"idle": idle})
            elif before is None and (found := serving_by_labels(seen, self._labels_of(seen.id))) is not None:
                obeyed = obeyed.model_copy(update={"serving": found})
            obeyed = obeyed.model_copy(update={"waiting": self._waits(Order(obeyed))})
            if (
                obeyed.waiting
                and before is not None
                and not before.obeyed.waiting
                and before.instance.uid == seen.uid
            ):
                # Until then the order before goes on, carried out yet or not.
                serving = obeyed.serving if obeyed.serving is not None else before.instance.revision
                obeyed = obeyed.model_copy(
                    update={"serving": serving, "idle": before.instance.goal != "start"}
                )
            self._state.write(f"orders/{seen.id}", obeyed.encode())
            with self._lock:
                self._orders[seen.id] = Order(obeyed)
        self._wake(seen.id, reason)

    def _amend(self, order: Order, update: dict[str, object]) -> None:
        """Change what is noted beside the instance's record, unless another order took its place meanwhile."""
        with self._writing:
            with self._lock:
                current = self._orders.get(order.id)
            if current is None or current.instance.revision != order.instance.revision:
                return
            self._write(current, current.obeyed.model_copy(update=update))

    def _write(self, current: Order, obeyed: Obeyed) -> None:
        """Put `obeyed` in the place of what is noted; `_writing` is held."""
        self._state.write(f"orders/{current.id}", obeyed.encode())
        with self._lock:
            self._orders[current.id] = replace(current, obeyed=obeyed)

    def _with_apps(self, order: Order) -> Order:
        """The order with its apps as far as they are known; `_lock` is held."""
        serving = order.obeyed.serving if order.replaces else None
        return replace(
            order,
            app=self._apps.get(order.instance.app.digest),
            serving_app=self._apps.get(serving.app.digest) if serving is not None else None,
        )

    def _put(self, order: Order, reason: str, *, replaces: Order | None = None) -> None:
        """Take an order in the place of what is known; with `replaces` only where that is still of the same change."""
        with self._writing, self._lock:
            current = self._orders.get(order.id)
            if replaces is not None and (
                current is None or current.instance.change != replaces.instance.change
            ):
                return  # its undeploy was finished meanwhile, or a newer one was taken
            if current is not None and current.instance == order.instance:
                order = replace(order, obeyed=current.obeyed)  # what was noted beside it meanwhile
            self._orders[order.id] = replace(order, app=None, serving_app=None)
        self._wake(order.id, reason)

    def _read(self, id: str) -> Entry | None:
        with self._clients.client() as store:
            return store.get(self._prefix + id, consistent=True)

    def _labels_of(self, id: str) -> tuple[Owned, ...]:
        if self._lost is not None and id not in self._lost:
            return ()
        if self._labelled is None:
            self._labelled = tuple(self._containers())
        return tuple(found for found in self._labelled if found.instance == id)


def _resurrected(seen: Instance) -> Order:
    """What is known of an instance whose undeploy is done, and that the store has again."""
    return Order(Obeyed(instance=seen), mode="keep", held=seen, resurrected=True)


def _kept(order: Order) -> Mode:
    return "preserve" if order.mode == "preserve" else "keep"


def _decoded(entry: Entry, id: str, node: str) -> Instance | str:
    """The record, or why it cannot be one."""
    try:
        seen = Instance.decode(entry.value)
    except UnreadableRecord as problem:
        return str(problem)
    if (seen.id, seen.node) != (id, node):
        return f"it says that it is {seen.node}/{seen.id}"
    return seen


def read_believed(state: StateDirectory) -> tuple[tuple[Instance, App | None], ...]:
    """The instances that a node last obeyed, with their apps where they are known: for `roj restore`.

    Raises:
        OSError: the state directory cannot be read.
    """
    found = []
    for name in state.names("orders/"):
        file = state.read(name)
        if file is not None:
            instance = Obeyed.decode(file.value).instance
            app = state.read(f"apps/{instance.app.digest}")
            found.append((instance, App.decode(app.value) if app is not None else None))
    return tuple(found)
