"""The other machine that was last seen to hold the node's lease, until this one holds it.

It is written down: a start without the store must not act while the other machine may.
"""

from __future__ import annotations

import logging
from typing import Literal

from roj.api.faults import UnreadableRecord
from roj.api.node import MachineIdentity
from roj.controllers.state import StateDirectory
from roj.environment import Environment

log = logging.getLogger(__name__)

ELSEWHERE = "elsewhere"
"""The state file with what that machine says of itself; empty where that does not parse."""


class Elsewhere:
    """What is known of it. Safe to use from several threads."""

    def __init__(self, environment: Environment, state: StateDirectory, *, takeover: bool) -> None:
        """Reads the state directory.

        Args:
            takeover: an operator says that the one that was seen before does not count.

        Raises:
            OSError: the state directory cannot be read.
        """
        self._state = state
        self._lock = environment.lock()
        file = state.read(ELSEWHERE)
        self._saved = file is not None
        self._holder: MachineIdentity | Literal["unknown"] | None = None
        if file is not None and not takeover:
            try:
                self._holder = MachineIdentity.decode(file.value)
            except UnreadableRecord:
                self._holder = "unknown"

    @property
    def seen(self) -> bool:
        """Whether another machine was seen to hold the lease since this one did."""
        with self._lock:
            return self._holder is not None

    @property
    def holder(self) -> MachineIdentity | None:
        """What it says of itself; None: that does not parse, or there is none."""
        with self._lock:
            return self._holder if isinstance(self._holder, MachineIdentity) else None

    def note(self, holder: MachineIdentity | None) -> None:
        """It was seen; a disk that fails keeps it from nothing but being known after a restart."""
        with self._lock:
            same, self._holder = self._holder == (holder or "unknown"), holder or "unknown"
        if same:
            return
        self._saved = True
        try:
            self._state.write(ELSEWHERE, holder.encode() if holder is not None else b"")
        except OSError as error:
            log.warning("the holder of the lease could not be written down: %s", error)

    def over(self) -> None:
        """This machine holds the lease. Raises OSError."""
        if self._saved:
            self._state.delete(ELSEWHERE)
            self._saved = False
        with self._lock:
            self._holder = None
