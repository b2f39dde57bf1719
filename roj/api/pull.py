"""Pre-pull: the images of an app are to be on a node before an instance needs them; and how far that is."""

from __future__ import annotations

from typing import ClassVar, Literal

from roj.api.app import AppReference
from roj.api.names import Name
from roj.api.record import Record, Time


class PullOrder(Record):
    """What an operator wants: `desired/<node>/pulls/<name>/<version>`. Once it has expired it counts as absent."""

    what: ClassVar[str] = "pull"

    node: Name
    app: AppReference
    change: str
    """The id of the write that made this record."""
    who: str = ""
    when: Time
    why: str = ""
    expires: Time
    """Until then the images are kept, unless an instance uses them before: then they are kept for that."""


class PullStatus(Record):
    """What the node reports of it: `observed/<node>/pulls/<name>/<version>`."""

    what: ClassVar[str] = "pull status"

    node: Name
    app: AppReference
    change: str
    """The order that this is about."""
    phase: Literal["pulling", "pulled", "used", "failed"]
    """`used`: an instance has the app by now. `failed`: refused by the registry; it is tried again all the same."""
    since: Time
    message: str = ""
    next_try: Time | None = None
