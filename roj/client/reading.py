"""Lists whose emptiness means something.

Consul leaves out of a list what the token may not read, and does not say so: to a token that may read nothing every
cluster is empty. A single key it denies. So an empty list is settled by reading the prefix itself as a key, which is
allowed to who may read what is under it, and is never there.
"""

from __future__ import annotations

from roj.store.interface import Listing, Store


def listed(store: Store, prefix: str, *, consistent: bool = False) -> Listing:
    """All under `prefix`: 1 request, 2 where there is nothing.

    Raises:
        StoreDenied: there may be something, and the token may not read it.
        StoreUnavailable: as the store's own `list`.
    """
    listing = store.list(prefix, consistent=consistent)
    if not listing.entries:
        store.get(prefix)
    return listing
