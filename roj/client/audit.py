"""What operators did that no record is left to tell of: an app removed, a store restored. `roj events` shows it.

These events lie beside the nodes' rings, which only agents write. Every one has a key of its own, which begins with its
time, so that two operators never write the same one; with each the oldest go, so that KEPT or so stay.
"""

from __future__ import annotations

from roj.api import keys
from roj.api.event import Event
from roj.client.client import Client
from roj.store.interface import Create, Discard

KEPT = 500
"""Events that are kept; as many as in a node's ring."""
EVICTED = 4
"""The most that go with one: where two went in at once there was one too many."""


def audit(
    client: Client, *, reason: str, message: str, why: str, app: str = "", node: str = ""
) -> list[Create | Discard]:
    """The operations that write down what an operator does, the event first, to go with those that do it: 1 request.

    Args:
        client: for whom.
        reason: one word, as of every event.
        message: what is done, without who and why.
        why: as the operator gave it; may be empty.
        app: `NAME:VERSION`, where it is about one.
        node: where it is about one.
    """
    now = client.environment.now()
    event = Event(
        node=node,
        app=app,
        reason=reason,
        message=f"{message}, by {client.who}" + (f": {why}" if why else ""),
        first=now,
        last=now,
        who=client.who,
        why=why,
    )
    there = [entry.key for entry in client.store.list(keys.OPERATORS, consistent=True).entries]
    key = f"{keys.OPERATORS}{now:%Y%m%dT%H%M%S.%f}-{client.environment.new_id()[:8]}"
    oldest = there[: max(0, len(there) + 1 - KEPT)][:EVICTED]
    return [Create(key, event.encode()), *(Discard(old) for old in oldest)]
