"""Rollouts as operators read them: what is wanted beside how far it is."""

from __future__ import annotations

from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import UnreadableRecord
from roj.api.rollout import ENDED, Rollout, RolloutPhase, RolloutStatus
from roj.client import errors
from roj.client.client import Client
from roj.client.reading import listed
from roj.store.interface import Entry


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A rollout: what is wanted beside how far it is."""

    name: str
    rollout: Rollout | None
    """None: its record does not parse."""
    status: RolloutStatus | None
    """None: no agent has taken it up yet."""

    @property
    def phase(self) -> RolloutPhase:
        return self.status.phase if self.status is not None else "running"

    @property
    def total(self) -> int:
        return len(self.rollout.targets) if self.rollout is not None else 0

    @property
    def done(self) -> int:
        return self.status.count("done") if self.status is not None else 0

    @property
    def failed(self) -> int:
        return self.status.count("failed", "stuck") if self.status is not None else 0

    @property
    def away(self) -> int:
        return self.status.away if self.status is not None else 0

    @property
    def ended(self) -> bool:
        """Its instances are free for another one, and no order of it is under way."""
        return (
            self.status is not None and self.rollout is not None and self.acknowledged and self.phase in ENDED
        )

    @property
    def acknowledged(self) -> bool:
        """Whether an agent has acted on the operator's last word."""
        return (
            self.status is not None
            and self.rollout is not None
            and self.status.observed_generation >= self.rollout.generation
        )

    @property
    def message(self) -> str:
        if self.rollout is None:
            return "its record is not understood"
        if self.status is None:
            return "no agent has taken it up yet"
        return self.status.message


def list_rollouts(client: Client) -> list[RolloutRow]:
    """All rollouts, by name: 2 requests."""
    statuses = {
        entry.key.removeprefix(keys.ROLLOUT_STATUS): entry
        for entry in listed(client.store, keys.ROLLOUT_STATUS, consistent=True).entries
    }
    return [
        _row(
            entry.key.removeprefix(keys.ROLLOUTS), entry, statuses.get(entry.key.removeprefix(keys.ROLLOUTS))
        )
        for entry in listed(client.store, keys.ROLLOUTS, consistent=True).entries
    ]


def get_rollout(client: Client, name: str) -> RolloutRow:
    """One rollout: 2 requests.

    Raises:
        errors.NotFound: there is none of that name.
    """
    entry = client.store.get(keys.rollout(name), consistent=True)
    if entry is None:
        raise errors.NotFound(f"there is no rollout {name}", hint="`roj rollouts` lists all.")
    return _row(name, entry, client.store.get(keys.rollout_status(name), consistent=True))


def _row(name: str, entry: Entry, reported: Entry | None) -> RolloutRow:
    try:
        rollout = Rollout.decode(entry.value)
    except UnreadableRecord:
        return RolloutRow(name, None, None)
    try:
        status = RolloutStatus.decode(reported.value) if reported is not None else None
    except UnreadableRecord:
        status = None
    return RolloutRow(name, rollout, status if status is not None and status.uid == rollout.uid else None)
