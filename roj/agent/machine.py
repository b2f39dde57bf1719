"""Who this machine is: the identity that the node's lease is held under (DESIGN.md section 4)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from roj.api.node import MachineIdentity
from roj.environment import Environment


def machine_id() -> str:
    """The machine's own id, from `/etc/machine-id`; empty where it has none."""
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(place).read_text(encoding="utf-8").strip()
        except OSError:
            continue
    return ""


def identity(state_id: str, docker_id: str, environment: Environment) -> MachineIdentity:
    """This process's identity.

    Args:
        state_id: the state directory's random id.
        docker_id: the Docker daemon's id; empty while it is not known.
    """
    return MachineIdentity(
        state_id=state_id,
        machine_id=machine_id(),
        docker_id=docker_id,
        hostname=socket.gethostname(),
        pid=os.getpid(),
        since=environment.now(),
    )
