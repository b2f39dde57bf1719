"""What `plan` works with: what is there (`Actual`), what can be done (actions), and what it answers (`Plan`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from roj.api.app import Container
from roj.api.instance import Phase
from roj.controllers.crashes import Trouble
from roj.runtime.interface import ContainerDetails, Network, RestartPolicy


@dataclass(frozen=True, slots=True)
class EnsureNetwork:
    """Make the revision's network unless it is there."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create a container and start it."""

    container: Container
    start: bool = True
    """False: it is started later, when what serves is stopped."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start an existing container."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Unpause:
    """Let a paused container go on."""

    id: str


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Change Docker's restart policy of a container."""

    id: str
    policy: RestartPolicy


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a container; its restart policy is taken off before."""

    id: str
    policy: RestartPolicy
    """The policy that it has now."""
    grace: float | None = None
    """Seconds until it is killed; None: the node's own."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that does not run."""

    id: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Remove a container that its revision needs and that cannot be used any more; the next look makes it anew."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a network."""

    id: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Tell the store that the undeploy is done."""


Action = (
    EnsureNetwork | Create | Start | Unpause | SetPolicy | Stop | Remove | Replace | RemoveNetwork | Finish
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The engine would not start a container."""

    reason: str
    """`PortTaken` or `StartRefused`."""
    message: str


@dataclass(frozen=True, slots=True)
class Pull:
    """How the pull of an image goes."""

    message: str = ""
    next_try: datetime | None = None
    refusal: str = ""
    """Why the registry will not give it: `ImageNotFound` or `ImageDenied`; empty: it has not said so."""
    quiet: float = 0.0
    """Seconds without progress."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An upgrade has failed: to be written down before the old revision is started."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Actual:
    """What is there for one instance, and what is known of it."""

    containers: tuple[ContainerDetails, ...] = ()
    """All containers of this node that carry the instance's label, of every life and revision."""
    networks: tuple[Network, ...] = ()
    """All networks of this node that carry the instance's label."""
    missing_images: Mapping[str, Pull] = field(default_factory=dict)
    """References that are not on the machine, with what the puller says of them."""
    uptime: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a running container has run, by container id."""
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """Containers of the current revision that do not stay up, by container name."""
    waits: Mapping[str, float] = field(default_factory=dict)
    """Seconds until such a container may be started again, by container name."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """Why the engine would not start a container, by container name."""
    app_problem: str = ""
    """Why the app's record is not known."""
    tried: float = 0.0
    """Seconds that the revision has been tried with all its images there."""
    serving: Actual | None = None
    """The same, as it is to be seen for the revision that serves, where that is another one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in their order, what to report, and when to look again (seconds; None: when something happens)."""

    phase: Phase
    actions: tuple[Action, ...] = ()
    message: str = ""
    after: float | None = None
    waiting: bool = False
    """`after` is a wait for another try, which the status names."""
    beside: tuple[Action, ...] = ()
    """Carried out after `actions`, for the revision that serves while another one should run."""
    tidy: tuple[Action, ...] = ()
    """Removes what is left of other revisions, at last, when the store confirms the order; nothing waits for it."""
    failure: Failure | None = None
    """The upgrade failed: nothing is carried out before that is written down."""

    @property
    def removes(self) -> bool:
        """Whether it removes anything: then the order must be confirmed by a `consistent` read made after the look."""
        return any(isinstance(action, Remove | RemoveNetwork | Finish) for action in self.actions)
