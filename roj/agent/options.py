"""What an agent is told when it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """The settings of `roj agent`; each is a flag of that name."""

    node: str | None = None
    """The node's name; None: the name that the local Consul agent has."""
    state_dir: Path | None = None
    """None: `default_state_directory` of the node's name."""
    docker: str | None = None
    """`unix:///...`, `tcp://...`, `simulated:[PATH]`; None: as Docker's own command decides."""
    store: str | None = None
    """`consul://HOST:PORT`, `sqlite:///PATH`; None: from the environment."""
    resync: float = 30.0
    """Seconds between two comparisons of everything that should run with everything that does."""
    once: bool = False
    """Converge once and end, for cron."""
    once_timeout: float = 300.0
    """Seconds that `once` may take."""
    http: str | None = None
    """`HOST:PORT` for /metrics, /healthz and /readyz, beside the unix socket in the state directory."""
    port_range: tuple[int, int] = (20000, 31999)
    """First and last of the node's ports that dynamic ports are taken from."""
    network_pool: str = "10.213.0.0/16"
    """Where the subnets of apps with several containers come from."""
    takeover: bool = False
    """Take the node's lease from another machine that holds it."""
    reap_unclaimed: float | None = None
    """Seconds after which containers without an instance are removed; None: never."""
    image_gc_high: float = 0.85
    """Share of the disk in use above which unused images are removed."""
    image_gc_low: float = 0.80
    """Share of the disk in use down to which they are removed."""
    collect_shared_images: bool = False
    """Collect images though another agent's containers are on the daemon."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels of the node, set when it registers for the first time."""
    log_format: str = "text"
    """`text` or `json`."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    lead: Literal["auto", "yes", "no"] = "auto"
    """Whether this agent may run what is cluster-wide: rollouts."""
    without: tuple[str, ...] = ()
    """Names of controllers that are not run."""


def default_state_directory(node: str) -> Path:
    """`/var/lib/roj/NODE` for root, `$XDG_STATE_HOME/roj/NODE` or `~/.local/state/roj/NODE` for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/roj") / node
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "roj" / node
