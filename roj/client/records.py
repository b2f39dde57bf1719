"""Records of instances as writers look at them."""

from __future__ import annotations

from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance
from roj.client.client import Client


def has_change(client: Client, key: str, change: str) -> bool:
    """Whether the record under `key` was made by the write `change`, or on top of it: 1 request."""
    entry = client.store.get(key, consistent=True)
    if entry is None:
        return False
    try:
        return change in Instance.decode(entry.value).lineage
    except UnreadableRecord:
        return False
