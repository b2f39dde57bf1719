"""Rollout: one app taken to many instances, a few at a time; and how far it got."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from roj.api.app import AppReference
from roj.api.duration import Duration
from roj.api.names import InstanceId, Name
from roj.api.record import Part, Record, Time

RolloutGoal = Literal["run", "pause", "abort", "rollback"]
RolloutPhase = Literal["running", "paused", "done", "failed", "aborted", "rolling_back", "rolled_back"]
ENDED: tuple[RolloutPhase, ...] = ("done", "failed", "aborted", "rolled_back")
"""A rollout in one of these phases claims its instances no longer."""
StepState = Literal["waiting", "started", "done", "failed", "left", "undoing", "undone", "stuck"]
MAX_TARGETS = 500
"""Instances of one rollout: as many as one record and its progress have room for."""
_SHARE = re.compile(r"(\d{1,6})(%?)", re.ASCII)


class Share(Part):
    """A number of instances, or a percentage of all."""

    number: int = Field(ge=0)
    percent: bool = False

    def of(self, total: int) -> int:
        """How many of `total`; a percentage is rounded down."""
        return total * self.number // 100 if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else f"{self.number}"


def parse_share(text: str) -> Share:
    """`3` or `25%`.

    Raises:
        ValueError: it is neither, or more than 100%.
    """
    form = _SHARE.fullmatch(text)
    if form is None or (form[2] and int(form[1]) > 100):
        raise ValueError(f"{text!r}: write a number of instances, or a percentage as 25%")
    return Share(number=int(form[1]), percent=bool(form[2]))


def _share(value: Any) -> Any:
    return parse_share(value) if isinstance(value, str) else value


Shares = Annotated[Share, BeforeValidator(_share), PlainSerializer(str, return_type=str, when_used="json")]


class Target(Part):
    """An instance of a rollout."""

    node: Name
    id: InstanceId
    uid: str
    revision: str
    """What it ran when the rollout was started: another one since is somebody's change, and respected."""
    shard: str = ""
    """The value of the node's label that the rollout is sharded by."""

    @property
    def name(self) -> str:
        return f"{self.node}/{self.id}"


class Rollout(Record):
    """What an operator wants of many instances: `rollouts/<name>`."""

    what: ClassVar[str] = "rollout"

    name: Name
    uid: str
    to: AppReference
    targets: tuple[Target, ...]
    """In the order in which they are taken: fixed when the rollout is started."""
    goal: RolloutGoal = "run"
    generation: int = Field(default=1, ge=1)
    """Counts every operator's change."""
    batch: Shares = Share(number=1)
    """How many are under way at once, at least 1."""
    canary: int = Field(default=0, ge=0)
    """So many go first, and must be launched before the rest."""
    max_failures: Shares = Share(number=0)
    """It stops at one more."""
    pause_after: Literal["canary", "shard", "batch"] | None = None
    wait_between: Duration = 0.0
    """Seconds from one launch to the next start."""
    on_failure: Literal["pause", "rollback"] = "pause"
    change: str
    """The id of the write that made it what it is."""
    who: str = ""
    when: Time
    why: str = ""

    def window(self) -> int:
        """How many may be under way at once."""
        return max(1, self.batch.of(len(self.targets)))

    def checkpoints(self) -> tuple[int, ...]:
        """After how many instances it stops until those before are launched, and resumed where it is to pause there.

        The canaries are always one. The last instance is none.
        """
        total = len(self.targets)
        stops = [self.canary] if self.canary else []
        match self.pause_after:
            case "shard":
                stops += [
                    number
                    for number in range(1, total)
                    if self.targets[number].shard != self.targets[number - 1].shard
                ]
            case "batch":
                stops += range(self.canary + self.window(), total, self.window())
        return tuple(sorted({stop for stop in stops if 0 < stop < total}))


class Step(Part):
    """How far one instance of a rollout is."""

    state: StepState = "waiting"
    """`left`: somebody else changed it, or it is gone; `undoing`, `undone`: taken back to what it ran before;
    `stuck`: it could not be."""
    generation: int = 0
    """The instance's generation that the rollout wrote last."""
    change: str = ""
    """The id of that write."""
    back: str = ""
    """The revision that it ran before."""
    when: Time | None = None
    """When the state became what it is."""
    message: str = ""


class RolloutStatus(Record):
    """How far a rollout is: `rollout-status/<name>`. Written by the agent that holds the election's lock."""

    what: ClassVar[str] = "rollout status"

    name: Name
    uid: str
    phase: RolloutPhase
    observed_generation: int = 0
    released: int = 0
    """The checkpoint that an operator let it pass by `resume`, in instances."""
    forgiven: int = 0
    """Failures that an operator knew of when it was resumed."""
    steps: tuple[Step, ...]
    """Of the rollout's targets, in their order."""
    away: int = 0
    """Instances whose node is away: they are caught up when it is back."""
    since: Time
    """When the phase began."""
    message: str = ""
    by: str = ""
    """The node whose agent carries it out."""

    def count(self, *states: StepState) -> int:
        return sum(step.state in states for step in self.steps)
