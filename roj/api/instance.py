"""Instance: one launch of an app on one node, as operators declare it and as its node reports it."""

from __future__ import annotations

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


class Revision(Part):
    """The change that set the app; containers, networks and names belong to it."""

    id: str
    """The change id of that change."""
    app: AppReference
    images: dict[str, str] = Field(default_factory=dict)
    """Image digest by container name, as far as pinned when it was written."""
    generation: int = Field(ge=1)
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


class InstanceStatus(Record):
    """What a node reports of one instance: `observed/<node>/instances/<id>`."""

    what: ClassVar[str] = "instance status"

    id: InstanceId
    node: Name
    uid: str = ""
    app: AppReference | None = None
    """The app whose containers are there."""
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


def changed(
    instance: Instance, *, change: str, goal: Goal, when: Time, who: str = "", why: str = ""
) -> Instance:
    """`instance` after an operator's change of its goal: the next generation, the same revision."""
    return instance.model_copy(
        update={
            "goal": goal,
            "generation": instance.generation + 1,
            "lineage": (change, *instance.lineage)[:LINEAGE],
            "who": who,
            "when": when,
            "why": why,
        }
    )


def new_instance(
    *, id: str, node: str, uid: str, change: str, app: AppReference, when: Time, who: str = "", why: str = "",
    images: dict[str, str] | None = None,
) -> Instance:  # fmt: skip
    """The first record of a new life: generation 1, goal `start`."""
    revision = Revision(id=change, app=app, images=images or {}, generation=1, who=who, when=when, why=why)
    return Instance(
        id=id, node=node, uid=uid, app=app, goal="start", generation=1, lineage=(change,), revisions=(revision,),
        who=who, when=when, why=why,
    )  # fmt: skip
