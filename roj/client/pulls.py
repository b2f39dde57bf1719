"""Pre-pull: have the images of an app on nodes before an instance needs them (`roj pull`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from roj.api import keys
from roj.api.faults import Fault, UnreadableRecord
from roj.api.pull import PullOrder, PullStatus
from roj.client import errors
from roj.client.apps import StoredApp, get_app
from roj.client.client import PATIENCE, Client
from roj.client.selection import StoredNode, stored_node
from roj.store.interface import Check, Conflict, Create, Discard, Operation, StoreUnavailable, Swap

PACE = 0.5
"""Seconds between two looks at what the nodes report."""
CLEARED = 20
"""Pulls of a node that have expired, of which the records go with a new one."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pull that a node was told of."""

    order: PullOrder
    away: bool
    """Its agent is away: it pulls when it is back, unless the pull has expired by then."""

    @property
    def node(self) -> str:
        return self.order.node


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """How far a pull is."""

    node: str
    result: Literal["pulled", "failed", "pending"]
    message: str


def order_pulls(
    client: Client,
    name: str,
    version: str,
    nodes: Sequence[StoredNode],
    *,
    keep: float,
    why: str = "",
    dry_run: bool = False,
    told: Callable[[Pulled], None] = lambda _: None,
) -> list[Pulled]:
    """Tell nodes to pull the images of an app: 1 read, and 2 reads and 1 write a node.

    Args:
        keep: seconds from now until which the images are kept, unless an instance uses them before.
        dry_run: nothing is written; what would be is returned.
        told: called for each as soon as it is written.

    Raises:
        errors.NotFound: there is no such app.
        errors.Conflict: a node was forgotten, or others wrote first again and again.
        errors.Unreachable: no answer to a write in time.
    """
    app = get_app(client, name, version)
    faults = [
        Fault(stored.name, stored.node.forgotten.in_words("was forgotten"))
        for stored in nodes
        if stored.node.forgotten is not None
    ]
    if faults:
        raise errors.Conflict(f"{app.reference} cannot be pulled:", faults=faults)
    done = []
    for stored in nodes:
        lease = client.store.get(keys.lease(stored.name))
        away = lease is None or not lease.session
        order = _write(client, app, stored, keep, why, dry_run=dry_run)
        done.append(Pulled(order, away))
        told(done[-1])
    return done


def wait_for_pulls(
    client: Client,
    pulls: Sequence[Pulled],
    timeout: float,
    tell: Callable[[PullOutcome], None] = lambda _: None,
) -> list[PullOutcome]:
    """Wait until each node has the images, or one was refused them, at most `timeout` seconds: 1 read a node and look.

    Raises:
        errors.Unreachable: the store did not answer for PATIENCE; the orders stand.
    """
    environment = client.environment
    deadline = environment.monotonic() + timeout
    outcomes: dict[str, PullOutcome] = {}
    answered = environment.monotonic()
    while True:
        for pull in pulls:
            before = outcomes.get(pull.node)
            if before is not None and before.result != "pending":
                continue
            try:
                outcome = _outcome(client, pull)
                answered = environment.monotonic()
            except StoreUnavailable as error:
                if environment.monotonic() - answered > PATIENCE:
                    raise errors.Unreachable(
                        f"the store no longer answers: {error}",
                        hint="The order stands; the same again is safe.",
                    ) from error
                continue
            outcomes[pull.node] = outcome
            if outcome != before:
                tell(outcome)
        results = [outcome.result for outcome in outcomes.values()]
        over = len(results) == len(pulls) and "pending" not in results
        if over or "failed" in results or environment.monotonic() >= deadline:
            break
        environment.sleep(min(PACE, max(deadline - environment.monotonic(), 0.0)))
    return [outcomes.get(pull.node) or PullOutcome(pull.node, "pending", "") for pull in pulls]


def _outcome(client: Client, pull: Pulled) -> PullOutcome:
    order = pull.order
    entry = client.store.get(keys.pull_status(order.node, order.app.name, order.app.version))
    try:
        status = PullStatus.decode(entry.value) if entry is not None else None
    except UnreadableRecord as problem:
        return PullOutcome(order.node, "pending", str(problem))
    if status is None or status.change != order.change:
        return PullOutcome(order.node, "pending", "its node has not acted on it yet")
    if status.phase in ("pulled", "used"):
        return PullOutcome(order.node, "pulled", status.message)
    return PullOutcome(order.node, "failed" if status.phase == "failed" else "pending", status.message)


def _write(
    client: Client, app: StoredApp, stored: StoredNode, keep: float, why: str, *, dry_run: bool
) -> PullOrder:
    """One node's transaction, made anew as long as others write first."""
    environment = client.environment
    now = environment.now()
    key = keys.pull(stored.name, app.app.name, app.app.version)
    order = PullOrder(
        node=stored.name, app=app.reference, change=environment.new_id(), who=client.who, when=now, why=why,
        expires=now + timedelta(seconds=keep),
    )  # fmt: skip
    if dry_run:
        return order
    current: StoredNode | None = stored

    def attempt() -> bool:
        nonlocal current
        if current is None:
            current = stored_node(client, stored.name)
            if current.node.forgotten is not None:
                raise errors.Conflict(
                    f"node {stored.name} {current.node.forgotten.in_words('was forgotten')}"
                )
            if get_app(client, app.app.name, app.app.version) != app:
                raise errors.Conflict(f"app {app.reference} was removed or replaced just now")
        sentinel, current = current.entry, None
        there = {
            entry.key: entry for entry in client.store.list(keys.pulls(stored.name), consistent=True).entries
        }
        before = there.pop(key, None)
        if before is not None and _change_of(before.value) == order.change:
            return True
        over = [other for other, entry in there.items() if _expired(entry.value, order)][:CLEARED]
        operations: list[Operation] = [
            Check(sentinel.key, sentinel.version),
            Check(keys.app(app.app.name, app.app.version), app.version),
            Swap(key, order.encode(), before.version) if before is not None else Create(key, order.encode()),
            *(Discard(other) for other in over),
        ]
        try:
            client.write(
                operations, lambda: _is_there(client, key, order), otherwise="The same again is safe."
            )
        except Conflict:
            return False
        return True

    if not client.again(attempt):
        raise errors.Conflict(f"others wrote to {stored.name} first, again and again", hint="Repeat it.")
    return order


def _is_there(client: Client, key: str, order: PullOrder) -> bool:
    entry = client.store.get(key, consistent=True)
    return entry is not None and _change_of(entry.value) == order.change


def _change_of(value: bytes) -> str:
    try:
        return PullOrder.decode(value).change
    except UnreadableRecord:
        return ""


def _expired(value: bytes, order: PullOrder) -> bool:
    try:
        return PullOrder.decode(value).expires <= order.when
    except UnreadableRecord:
        return False
