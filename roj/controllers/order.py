"""An order: what a node obeys for one instance; and the one pure function that decides whether to obey another.

DESIGN.md section 3, "Obeyed once". ModifyIndex and generation cannot decide it: after a restore into a fresh server the
same key had the same ModifyIndex and generation for another order.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from roj.api.app import App, AppReference
from roj.api.instance import Instance, Revision
from roj.api.record import Record, Time
from roj.controllers.labels import Owned

FINISHED_DAYS = 30
FINISHED_LEAST = 1000
"""Undeploys are remembered for 30 days, and at least the last 1,000 (DESIGN.md section 3)."""


class Obeyed(Record):
    """What the state directory holds of one instance: `orders/<id>`."""

    what: ClassVar[str] = "order"

    instance: Instance
    past: tuple[str, ...] = ()
    """Change ids that were obeyed before, newest first, of earlier lives too: none is obeyed a second time."""
    launched: str = ""
    """The revision that was launched last: what a hold keeps and repairs."""
    ports: dict[str, int] = Field(default_factory=dict)
    """The node's port by `CONTAINER:80/tcp`, of the ports that this node chose."""


class Finished(Record):
    """The undeploys that this node finished: `finished`."""

    what: ClassVar[str] = "finished undeploys"

    uids: dict[str, Time] = Field(default_factory=dict)

    def plus(self, uid: str, now: datetime) -> Finished:
        """With one more, and without those that are older than FINISHED_DAYS and beyond the last FINISHED_LEAST."""
        newest = sorted({**self.uids, uid: now}.items(), key=lambda item: item[1], reverse=True)
        old = timedelta(days=FINISHED_DAYS)
        return Finished(
            uids={u: when for n, (u, when) in enumerate(newest) if n < FINISHED_LEAST or now - when < old}
        )


PAST = 100
"""Change ids of obeyed orders that are remembered of an instance, beside the lineage."""

Verdict = Literal["same", "obey", "hold"]


def judge(
    obeyed: Instance | None,
    finished: Container[str],
    seen: Instance,
    *,
    past: Container[str] = (),
    held: Instance | None = None,
    containers: Iterable[Owned] = (),
) -> Verdict:
    """What the record `seen` in the store is to a node that obeyed `obeyed`.

    Args:
        obeyed: the last record that was obeyed; None: none, or the state directory was lost.
        finished: uids whose undeploy this node finished.
        seen: the record in the store.
        past: change ids that were obeyed before `obeyed`.
        held: the older record that the node holds at, if it does: a write on top of it is an operator's new one.
        containers: what the labels of the instance's containers say; they stand in where `obeyed` is None.

    Returns: `same`: the same order; `obey`: a newer or another one; `hold`: the store went back to an older one.
    """
    if obeyed is not None and seen.change == obeyed.change:
        return "same"
    overtaken = seen.change in past or (obeyed is not None and seen.change in obeyed.lineage)
    if held is not None and held.change in seen.lineage[1:] and not overtaken:
        return "obey"
    if seen.uid in finished and (seen.goal != "undeploy" if obeyed is None else obeyed.uid != seen.uid):
        return "hold"  # of an undeploy that is done already, too, where another life runs: it would end that one
    if obeyed is None:
        known = {seen.revision.id, *seen.lineage, *(revision.id for revision in seen.revisions)}
        newer = [found for found in containers if found.uid == seen.uid and found.revision not in known]
        return "hold" if newer else "obey"
    return "hold" if overtaken else "obey"


Mode = Literal["obey", "keep", "preserve"]
"""How far an order goes.

`obey`: what it says. `keep` (the store holds an older order, or none): what was launched goes on and is repaired, what
does not run is not started. `preserve` (the state file was damaged and this is its previous copy): only containers that
exist are repaired.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the controllers work on it."""

    obeyed: Obeyed
    app: App | None = None
    """None: not read from the store yet."""
    mode: Mode = "obey"
    absent: bool = False
    """The store has no record of the instance: it is unclaimed."""
    held: Instance | None = None
    """The store's older record, where the store went back."""
    resurrected: bool = False
    """The node finished its undeploy and the store has it again: nothing of it was obeyed."""
    unreadable: str = ""
    """Why the store's record does not parse; the last good one is obeyed."""

    @property
    def instance(self) -> Instance:
        return self.obeyed.instance

    @property
    def id(self) -> str:
        return self.instance.id

    @property
    def serves(self) -> bool:
        """Whether containers of its revision are to be kept running."""
        if self.instance.goal != "start":
            return False
        return self.mode == "obey" or self.obeyed.launched == self.instance.revision.id

    def references(self) -> tuple[AppReference, ...]:
        """The apps that its revisions run: what may be rolled back to."""
        return tuple(revision.app for revision in self.instance.revisions)


def from_labels(found: Owned, when: Time) -> Instance:
    """The record that containers without any other trace say they belong to: for `roj adopt`."""
    name, _, version = found.app.partition(":")
    app = AppReference(name=name, version=version, digest=found.app_digest)
    return Instance(
        id=found.instance,
        node=found.node,
        uid=found.uid,
        app=app,
        goal="start",
        generation=1,
        lineage=(found.revision,),
        revisions=(Revision(id=found.revision, app=app, generation=1, when=when),),
        when=when,
    )
