"""Event: something that happened to an object, for people; never an input of a decision."""

from __future__ import annotations

from typing import ClassVar, Literal

from roj.api.names import Name
from roj.api.record import Record, Time


class Event(Record):
    """One entry of a node's ring, `events/<node>/<slot>`, or of what operators did, `events/@operators/<time>`."""

    what: ClassVar[str] = "event"

    node: Name | Literal[""] = ""
    """Whose it is; empty: it is an operator's, and of no node."""
    instance: str = ""
    """The instance it is about; empty: the node itself."""
    app: str = ""
    """`NAME:VERSION` that it is about; only of operators' events."""
    uid: str = ""
    type: Literal["Normal", "Warning"] = "Normal"
    reason: str
    """One word in CamelCase: `Launched`, `Pulled`, `Crashed`, `Repaired`, `StoreWentBack`, ..."""
    message: str = ""
    who: str = ""
    """The operator whose event it is; empty: the node's agent."""
    why: str = ""
    """As the operator gave it."""
    count: int = 1
    first: Time
    last: Time
    sequence: int = 0
    """Order within the node, across restarts of the agent."""
