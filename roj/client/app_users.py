"""What uses an app: instances, the revisions that they may be rolled back to, and rollouts that have not ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.instance import Instance
from roj.client import errors
from roj.client.client import Client
from roj.client.reading import listed
from roj.client.rollout_view import list_rollouts

_Named = tuple[str, str]


def refuse_used(client: Client, references: Sequence[_Named]) -> None:
    """Refuse where something uses one of the apps: 3 lists.

    Raises:
        errors.Conflict: something does, or a record is not understood, so that it may.
    """
    wanted = dict.fromkeys(references)
    users: dict[_Named, list[str]] = {}
    for app, user in (*_instances(client), *_rollouts(client)):
        if app in wanted:
            users.setdefault(app, []).append(user)
    if not users:
        return
    words = "; ".join(
        f"app {name}:{version} is used by {', '.join(found[:10])}"
        + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        for (name, version), found in users.items()
    )
    only_rollouts = all(user.startswith("rollout ") for found in users.values() for user in found)
    hint = (
        "`roj rollout abort NAME` ends a rollout."
        if only_rollouts
        else "`roj undeploy INSTANCE` first, and remove it when that is done."
    )
    raise errors.Conflict(words, hint=hint)


def _instances(client: Client) -> Iterator[tuple[_Named, str]]:
    for entry in listed(client.store, keys.DESIRED, consistent=True).entries:
        match entry.key.removeprefix(keys.DESIRED).split("/"):
            case [node, "instances", id]:
                name = f"{node}/{id}"
            case _:
                continue
        try:
            instance = Instance.decode(entry.value)
        except UnreadableRecord as problem:
            raise errors.Conflict(
                f"the record of {name} is not understood, so it may use the app: {problem}",
                hint=f"`roj inspect instance {name}` shows it.",
            ) from None
        now = (instance.app.name, instance.app.version)
        yield now, f"{name} (is being undeployed)" if instance.goal == "undeploy" else name
        for app in dict.fromkeys(
            (revision.app.name, revision.app.version) for revision in instance.revisions
        ):
            if app != now:
                how = "is being undeployed" if instance.goal == "undeploy" else "an earlier revision"
                yield app, f"{name} ({how})"


def _rollouts(client: Client) -> Iterator[tuple[_Named, str]]:
    for row in list_rollouts(client):
        if row.rollout is None:
            raise errors.Conflict(
                f"the record of rollout {row.name} is not understood, so it may use the app"
            )
        if not row.ended:
            yield (row.rollout.to.name, row.rollout.to.version), f"rollout {row.name} ({row.phase})"
