"""Instance: one launch of an app on one node, as operators declare it and as its node reports it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from roj.api.app import App, AppReference
from roj.api.condition import Condition
from roj.api.names import InstanceId, Name
from roj.api.record import Part, Record, Time

Goal = Literal["start", "stop", "undeploy"]
Phase = Literal[
    "pending", "pulling", "creating", "starting", "healthchecking", "launched",
    "stopping", "stopped", "completed", "failed", "held",
]  # fmt: skip
LINEAGE = 20
"""Change ids that a record carries, newest first (DESIGN.md section 1)."""
REVISIONS = 3
"""Revisions that a record carries in full (DESIGN.md section 2)."""
HISTORY = 50
"""Changes of an instance that are kept for `roj history`."""
HISTORY_SIZE = 16_000
"""Bytes that they may have; the oldest are given up before: it is written with every change."""


class Revision(Part):
    """The change that set the app; containers, networks and names belong to it.

    A rollback to a revision sets it again, under its id: what still runs of it goes on.
    """

    id: str
    """The id of the change that set it first."""
    app: AppReference
    images: dict[str, str] = Field(default_factory=dict)
    """Image digest by container name, as far as pinned when it was written."""
    generation: int = Field(ge=1)
    """The generation that set it last."""
    who: str = ""
    when: Time
    why: str = ""


class Instance(Record):
    """What an operator wants of one instance: `desired/<node>/instances/<id>`."""

    what: ClassVar[str] = "instance"

    id: InstanceId
    node: Name
    uid: str
    """Random id of this life of the instance: a new one each time the id is deployed anew."""
    app: AppReference
    goal: Goal
    generation: int = Field(ge=1)
    """Counts every operator's change within one uid."""
    lineage: tuple[str, ...] = Field(min_length=1, max_length=LINEAGE)
    """Ids of the last changes, newest first."""
    revisions: tuple[Revision, ...] = Field(min_length=1, max_length=REVISIONS)
    """The last revisions, newest first; the first is the one that should run."""
    who: str = ""
    when: Time
    why: str = ""
    at: Time | None = None
    """The node does not act on this change before, by its own clock."""
    now: bool = False
    """This change does not wait for a maintenance window of the node."""

    @property
    def change(self) -> str:
        """The id of the write that made this record."""
        return self.lineage[0]

    @property
    def revision(self) -> Revision:
        return self.revisions[0]


class ContainerStatus(Part):
    """One container as its node sees it."""

    name: str
    id: str = ""
    image: str = ""
    state: str = ""
    """Docker's word: created, running, paused, restarting, exited, dead; `missing` where there is none."""
    ports: dict[str, int] = Field(default_factory=dict)
    """The node's port by `CONTAINER/PROTOCOL`."""


class Outcome(Part):
    """What became of one generation on its node."""

    generation: int = Field(ge=1)
    outcome: Literal["launched", "stopped", "failed", "superseded"]
    """`superseded`: another order came before it had an end."""
    when: Time
    seconds: float = 0.0
    """From when the node took the order, or could act on it, to its end."""
    message: str = ""


class InstanceStatus(Record):
    """What a node reports of one instance: `observed/<node>/instances/<id>`."""

    what: ClassVar[str] = "instance status"

    id: InstanceId
    node: Name
    uid: str = ""
    app: AppReference | None = None
    """The app whose containers serve: after a failed upgrade, and until a new one is launched, the old one."""
    phase: Phase | Literal["unclaimed"]
    goal: Goal | None = None
    observed_generation: int = 0
    revision: str = ""
    since: Time
    """When the phase began."""
    message: str = ""
    restarts: int = 0
    """Starts after a crash since the revision was launched."""
    next_try: Time | None = None
    ports: dict[str, int] = Field(default_factory=dict)
    """The node's port by `80/tcp`, or `CONTAINER:80/tcp` where two containers publish the same."""
    containers: tuple[ContainerStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    """Of the last generations of this uid, newest first."""
    believed: Instance | None = None
    """The record that the node obeys, where the store's is another or none: what `adopt` puts back."""
    believed_app: App | None = None
    """With `believed`: the app's record, for a store that has lost it."""


class PortClaim(Record):
    """A claim on a fixed port of a node: `desired/<node>/ports/<proto>-<port>`."""

    what: ClassVar[str] = "port claim"

    uid: str
    instance: InstanceId


class AppUse(Record):
    """The guard of an app: the change id of the last write that refers to it."""

    what: ClassVar[str] = "app use"

    change: str


class HistoryEntry(Part):
    """One change of an instance, as its operator wrote it."""

    generation: int = Field(ge=1)
    change: str
    goal: Goal
    app: AppReference
    revision: str
    who: str = ""
    when: Time
    why: str = ""
    at: Time | None = None
    now: bool = False


class History(Record):
    """The last changes of one life of an instance: `history/<node>/<id>`. Operators write it with each."""

    what: ClassVar[str] = "history"

    uid: str
    entries: tuple[HistoryEntry, ...] = ()
    """Newest first."""

    def plus(self, instance: Instance) -> History:
        """With the change that made `instance` what it is; only that, where it is of another life."""
        entry = HistoryEntry(
            generation=instance.generation, change=instance.change, goal=instance.goal, app=instance.app,
            revision=instance.revision.id, who=instance.who, when=instance.when, why=instance.why,
            at=instance.at, now=instance.now,
        )  # fmt: skip
        before = tuple(
            each for each in self.entries if self.uid == instance.uid and each.change != instance.change
        )
        entries = (entry, *before)[:HISTORY]
        history = History(uid=instance.uid, entries=entries)
        while len(entries) > 1 and len(history.encode()) > HISTORY_SIZE:
            entries = entries[:-1]
            history = History(uid=instance.uid, entries=entries)
        return history


@dataclass(frozen=True, slots=True)
class Write:
    """What every operator's change carries beside what it changes."""

    change: str
    """Its random id."""
    when: datetime
    who: str = ""
    why: str = ""
    at: datetime | None = None
    now: bool = False


def changed(instance: Instance, write: Write, goal: Goal) -> Instance:
    """`instance` after an operator's change of its goal: the next generation, the same revision."""
    return _next(instance, write, {"goal": goal})


def upgraded(
    instance: Instance, write: Write, app: AppReference, images: dict[str, str], *, serving: str = ""
) -> Instance:
    """`instance` after an operator's change of its app: the next generation, a new revision, the same goal.

    `serving` is the revision that serves: it is kept, however many upgrades after it have failed.
    """
    revision = Revision(
        id=write.change, app=app, images=images, generation=instance.generation + 1,
        who=write.who, when=write.when, why=write.why,
    )  # fmt: skip
    kept = (revision, *instance.revisions)[:REVISIONS]
    served = [each for each in instance.revisions if each.id == serving and each not in kept]
    return _next(instance, write, {"app": app, "revisions": (*kept[: REVISIONS - len(served)], *served)})


def rolled_back(instance: Instance, write: Write, revision: Revision) -> Instance:
    """`instance` after a rollback to one of its revisions, which is set again under its id as the next generation."""
    again = revision.model_copy(
        update={
            "generation": instance.generation + 1, "who": write.who, "when": write.when, "why": write.why,
        }
    )  # fmt: skip
    others = tuple(each for each in instance.revisions if each.id != revision.id)
    return _next(instance, write, {"app": revision.app, "revisions": (again, *others)[:REVISIONS]})


def _next(instance: Instance, write: Write, update: dict[str, object]) -> Instance:
    return instance.model_copy(
        update={
            **update,
            "generation": instance.generation + 1,
            "lineage": (write.change, *instance.lineage)[:LINEAGE],
            "who": write.who,
            "when": write.when,
            "why": write.why,
            "at": write.at,
            "now": write.now,
        }
    )


def new_instance(
    *,
    id: str,
    node: str,
    uid: str,
    write: Write,
    app: AppReference,
    images: dict[str, str] | None = None,
    goal: Goal = "start",
) -> Instance:
    """The first record of a new life: generation 1."""
    revision = Revision(
        id=write.change, app=app, images=images or {}, generation=1,
        who=write.who, when=write.when, why=write.why,
    )  # fmt: skip
    return Instance(
        id=id, node=node, uid=uid, app=app, goal=goal, generation=1, lineage=(write.change,), revisions=(revision,),
        who=write.who, when=write.when, why=write.why, at=write.at, now=write.now,
    )  # fmt: skip
