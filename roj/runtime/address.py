"""Which container runtime an address means."""

from __future__ import annotations

from collections.abc import Mapping

from roj.environment import Environment
from roj.runtime.interface import Runtime
from roj.runtime.simulated import SCHEME, SimulatedRuntime


def open_runtime(url: str | None, environment: Environment, variables: Mapping[str, str]) -> Runtime:
    """The runtime at `url`; None is the daemon that Docker's own command would use, by `variables` and Docker's files.

    `simulated:` is one in memory, of this process alone. Nothing is asked of a daemon yet: it may be away.

    Raises: RuntimeFailure, where Docker's files name a context that cannot be used.
    """
    if url is not None and url.startswith(SCHEME):
        return SimulatedRuntime(environment)
    from roj.runtime.docker import DockerRuntime  # slow to import, and of no use to the simulated one

    return DockerRuntime(environment, url, variables)
