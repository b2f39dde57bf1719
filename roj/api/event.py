"""Event: something that happened to an object, for people; never an input of a decision."""

from __future__ import annotations

from typing import ClassVar, Literal

from roj.api.names import Name
from roj.api.record import Record, Time


class Event(Record):
    """One entry of a node's ring: `events/<node>/<slot>`."""

    what: ClassVar[str] = "event"

    node: Name
    instance: str = ""
    """The instance it is about; empty: the node itself."""
    uid: str = ""
    type: Literal["Normal", "Warning"] = "Normal"
    reason: str
    """One word in CamelCase: `Launched`, `Pulled`, `Crashed`, `Repaired`, `StoreWentBack`, ..."""
    message: str = ""
    count: int = 1
    first: Time
    last: Time
    sequence: int = 0
    """Order within the node, across restarts of the agent."""
