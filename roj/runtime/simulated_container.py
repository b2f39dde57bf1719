"""One simulated container: its state, and what the interface shows of it. What happens to it: `simulated_machine`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from roj.runtime.interface import (
    ContainerDetails,
    ContainerSpec,
    ContainerSummary,
    PortBinding,
    RestartPolicy,
    State,
)
from roj.runtime.simulated_process import Process

LIVE: tuple[State, ...] = ("running", "paused")
"""States with a process, ports and a place on the network. `restarting` has none of them."""

FIRST_BACKOFF, LONGEST_BACKOFF, HEALTHY = 0.1, 60.0, 10.0
"""Docker's restart policies wait 100 ms, twice as long each time up to a minute, anew after 10 s of running."""


@dataclass(slots=True)
class Container:
    """What the engine knows of a container."""

    id: str
    spec: ContainerSpec
    image_id: str
    network: str
    """Id of its network."""
    process: Process
    created_at: datetime
    state: State = "created"
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    policy: RestartPolicy = "no"
    restarts: int = 0
    due: float | None = None
    """When (monotonic) its process ends by itself, or the policy starts it again."""
    left: float | None = None
    """While paused: the rest of its process's time."""
    begun: float = 0.0
    """When (monotonic) its process began."""
    backoff: float = FIRST_BACKOFF
    stopped_by_hand: bool = False
    """Stopped or killed through the engine: `unless-stopped` leaves it so."""
    connected: bool = False
    """It was started, or tried to be: only then Docker tells its network's id."""
    lost_while_paused: bool = False
    """It was paused when the machine went down: Docker 20.10 neither starts nor unpauses it again."""
    runs: int = 0
    """Counts processes, to tell one from the next."""

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def policy_restarts(self) -> bool:
        """Whether its policy would start it, having ended as it did."""
        match self.policy:
            case "always":
                return True
            case "unless-stopped":
                return not self.stopped_by_hand
            case "on-failure":
                return not self.stopped_by_hand and self.exit_code != 0
            case "no":
                return False

    def next_backoff(self, ran: float) -> float:
        """Seconds that the policy waits now, after a run of `ran` seconds."""
        if ran >= HEALTHY:
            self.backoff = FIRST_BACKOFF
        wait, self.backoff = self.backoff, min(self.backoff * 2, LONGEST_BACKOFF)
        return wait

    def summary(self, tag_id: str | None, network_name: str) -> ContainerSummary:
        """As in a list. `tag_id`: the image that its reference means now."""
        return ContainerSummary(
            id=self.id,
            name=self.spec.name,
            image=self.spec.image if tag_id == self.image_id else self.image_id,
            image_id=self.image_id,
            state=self.state,
            labels=dict(self.spec.labels),
            ports=_ordered(self.spec.ports) if self.live else (),
            networks=(self.network if self.connected else network_name,),
        )

    def details(self, network_name: str) -> ContainerDetails:
        """As inspected."""
        return ContainerDetails(
            id=self.id,
            name=self.spec.name,
            image=self.spec.image,
            image_id=self.image_id,
            state=self.state,
            labels=dict(self.spec.labels),
            ports=_ordered(self.spec.ports) if self.live else (),
            networks=(self.network if self.connected else network_name,),
            exit_code=self.exit_code,
            error=self.error,
            oom_killed=self.oom_killed,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            restart_policy=self.policy,
            restart_count=self.restarts,
            stop_grace=float(ceil(self.spec.stop.grace)),
            configured_ports=_ordered(self.spec.ports),
        )


def _ordered(ports: tuple[PortBinding, ...]) -> tuple[PortBinding, ...]:
    return tuple(sorted(ports, key=lambda port: (port.container, port.protocol, port.host)))
