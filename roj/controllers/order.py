"""An order: what a node obeys for one instance; and the one pure function that decides whether to obey another.

DESIGN.md section 3, "Obeyed once". ModifyIndex and generation cannot decide it: after a restore into a fresh server the
same key had the same ModifyIndex and generation for another order.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field

from roj.api.app import App, AppReference
from roj.api.instance import REVISIONS, Goal, Instance, Revision
from roj.api.record import Part, Record, Time
from roj.controllers import labels
from roj.controllers.labels import Owned

FINISHED_DAYS = 30
FINISHED_LEAST = 1000
"""Undeploys are remembered for 30 days, and at least the last 1,000 (DESIGN.md section 3)."""
FINISHED_LINEAGES = 50


class FailedUpgrade(Part):
    """An upgrade failed: its revision is not tried again before an operator sets it again."""

    revision: str
    generation: int
    """The generation that had set it."""
    reason: str
    """`ExitsAgainAndAgain`, `StartRefused`, `ImageNotFound`, `ImageDenied`, `PullStalled` or `LaunchTimeout`."""
    message: str
    when: Time

    def of(self, revision: Revision) -> bool:
        """Whether it stands for the revision as it was set last."""
        return (self.revision, self.generation) == (revision.id, revision.generation)


class Obeyed(Record):
    """What the state directory holds of one instance: `orders/<id>`."""

    what: ClassVar[str] = "order"

    instance: Instance
    past: tuple[str, ...] = ()
    """Change ids that were obeyed before, newest first, of earlier lives too: none is obeyed a second time."""
    lives: tuple[str, ...] = ()
    """The uids of earlier lives, newest first: they are over when this one is undeployed, and `past` with them."""
    serving: Revision | None = None
    """The revision that was launched last: what a hold keeps and repairs, and a failed upgrade falls back to."""
    idle: bool = False
    """Before this order, and since the last launch, the goal was `stop`: nothing serves."""
    waiting: bool = False
    """The record's change is not acted on yet: it waits for its time or a window."""
    failed: FailedUpgrade | None = None
    ports: dict[str, dict[str, int]] = Field(default_factory=dict)
    """The node's port by `CONTAINER:80/tcp`, of the ports that this node chose, by revision."""

    @property
    def launched(self) -> str:
        """The id of the revision that was launched last; empty: none was."""
        return self.serving.id if self.serving is not None else ""


class Finished(Record):
    """The undeploys that this node finished: `finished`."""

    what: ClassVar[str] = "finished undeploys"

    uids: dict[str, Time] = Field(default_factory=dict)
    lineages: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Changes that were obeyed of each, or lie below, of the last FINISHED_LINEAGES: none of them is a new order."""

    def plus(self, uid: str, now: datetime, lineage: tuple[str, ...] = ()) -> Finished:
        """With one more, and without those that are older than FINISHED_DAYS and beyond the last FINISHED_LEAST."""
        newest = sorted({**self.uids, uid: now}.items(), key=lambda item: item[1], reverse=True)
        old = timedelta(days=FINISHED_DAYS)
        lineages = {**self.lineages, uid: lineage or self.lineages.get(uid, ())}
        return Finished(
            uids={u: when for n, (u, when) in enumerate(newest) if n < FINISHED_LEAST or now - when < old},
            lineages={u: lineages[u] for u, _ in newest[:FINISHED_LINEAGES] if u in lineages},
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
    # Of an undeploy that is done already, too, where another life runs: it would end that one.
    if seen.uid in finished and (seen.goal != "undeploy" if obeyed is None else obeyed.uid != seen.uid):
        return "hold"
    if obeyed is None:
        known = {seen.revision.id, *seen.lineage, *(revision.id for revision in seen.revisions)}
        newer = [found for found in containers if found.uid == seen.uid and found.revision not in known]
        return "hold" if newer else "obey"
    # Undeployed and brought back by an operator: what was obeyed before that is not known any more.
    from_before = obeyed.uid == seen.uid and seen.uid in finished and obeyed.change not in seen.lineage
    return "hold" if overtaken or from_before else "obey"


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
    """Of the revision that should run. None: not read from the store yet."""
    serving_app: App | None = None
    """Of the revision that serves, where that is another. None: not read from the store yet."""
    mode: Mode = "obey"
    absent: bool = False
    """The store has no record of the instance: it is unclaimed."""
    absent_since: float = 0.0
    """With `absent`: when that was seen, on the monotonic clock."""
    held: Instance | None = None
    """The store's older record, where the store went back."""
    resurrected: bool = False
    """The node finished its undeploy and the store has it again: nothing of it was obeyed."""
    unreadable: str = ""
    """Why the store's record does not parse; the last good one is obeyed."""
    drained: bool = False
    """Its node is being emptied, and it is its turn: it is stopped, and its goal stays."""

    @property
    def instance(self) -> Instance:
        return self.obeyed.instance

    @property
    def id(self) -> str:
        return self.instance.id

    @property
    def goal(self) -> Goal:
        """What is acted on: the record's goal, unless its node is drained, or the change waits and all stays as it is."""
        if self.obeyed.waiting:
            up = self.obeyed.serving is not None and not self.obeyed.idle and not self.drained
            return "start" if up else "stop"
        return "stop" if self.drained and self.instance.goal == "start" else self.instance.goal

    @property
    def serves(self) -> bool:
        """Whether containers are to be kept running that the store does not ask for now (it went back, or lost it)."""
        return self.goal == "start" and (self.mode == "obey" or self.obeyed.serving is not None)

    @property
    def replaces(self) -> bool:
        """Whether another revision serves than the one that should run: an upgrade is due, or has failed."""
        return self.obeyed.serving is not None and self.obeyed.serving.id != self.instance.revision.id

    @property
    def failed(self) -> FailedUpgrade | None:
        """Why its revision is not tried any more."""
        failed = self.obeyed.failed
        return failed if failed is not None and failed.of(self.instance.revision) else None

    @property
    def apps(self) -> tuple[App, ...]:
        """The apps of the revisions that should run and that serves, as far as they are known."""
        return tuple(app for app in (self.app, self.serving_app) if app is not None)

    @property
    def ports(self) -> dict[str, int]:
        """The node's ports that its revision's dynamic ones have got."""
        return self.obeyed.ports.get(self.instance.revision.id, {})

    def keeps(self, found: Mapping[str, str]) -> bool:
        """Whether labels are of the revision that should run or of the one that serves: not superseded."""
        if labels.is_current(found, self.instance):
            return True
        return self.replaces and labels.is_current(found, self.of_serving().instance)

    def of_serving(self) -> Order:
        """The same order as if it asked for the revision that serves."""
        serving = self.obeyed.serving
        assert serving is not None
        others = tuple(each for each in self.instance.revisions if each.id != serving.id)
        instance = self.instance.model_copy(
            update={"app": serving.app, "revisions": (serving, *others)[:REVISIONS], "goal": "start"}
        )
        app = self.serving_app if self.replaces else self.app
        return replace(self, obeyed=self.obeyed.model_copy(update={"instance": instance}), app=app)

    def references(self) -> tuple[AppReference, ...]:
        """The apps that its revisions run: what may be rolled back to."""
        kept = [revision.app for revision in self.instance.revisions]
        serving = [self.obeyed.serving.app] if self.obeyed.serving is not None else []
        return tuple(dict.fromkeys([*kept, *serving]))


def serving_by_labels(seen: Instance, containers: Iterable[Owned]) -> Revision | None:
    """The revision that served before the state was lost: an older one of the record that still has containers."""
    there = {found.revision for found in containers if found.uid == seen.uid}
    return next((revision for revision in seen.revisions[1:] if revision.id in there), None)


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
