"""Which instances are meant by what they run and where they are."""

from __future__ import annotations

from roj.api import keys
from roj.api.instance import Instance
from roj.client import errors
from roj.client.client import Client
from roj.client.reading import listed
from roj.client.snapshot import Unreadable, decoded


def instances_of(client: Client, app: str, node: str | None = None) -> list[str]:
    """`NODE/ID` of every instance that is to run an app, by node and id: 1 request. One whose record does not parse is
    none.

    Args:
        app: `NAME`, or `NAME:VERSION`.
        node: only those on this node.

    Raises:
        errors.NotFound: there is none.
    """
    prefix = keys.DESIRED if node is None else keys.instances(node)
    found = []
    for entry in listed(client.store, prefix, consistent=True).entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [place, "instances", id]:
                record = decoded(Instance, entry, node=place, id=id)
            case _:
                continue
        if isinstance(record, Unreadable) or record.goal == "undeploy":
            continue
        if app in (record.app.name, str(record.app)):
            found.append(f"{place}/{id}")
    if not found:
        where = f" on {node}" if node is not None else ""
        raise errors.NotFound(f"there is no instance of {app}{where}", hint="`roj instances` lists all.")
    return found
