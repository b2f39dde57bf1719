"""Upgrade and rollback: another app for instances that are there, or the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roj.api import keys
from roj.api.faults import Fault
from roj.api.instance import Goal, Instance, InstanceStatus, Revision, Write
from roj.client import changes, errors
from roj.client.apps import StoredApp, get_app, pinned_images
from roj.client.changes import PLAIN, Terms
from roj.client.client import Client
from roj.client.records import has_change
from roj.client.references import Target, find_targets, with_status
from roj.store.interface import Conflict


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An instance after the write of another app."""

    node: str
    id: str
    uid: str
    goal: Goal
    app: str
    before: str
    """The app that it was to run until now."""
    generation: int
    written: bool = True
    """False: it was so already."""
    away: bool = False
    """Its node is away: it does it when it is back."""


def upgrade(
    client: Client,
    name: str,
    version: str,
    references: Sequence[str],
    *,
    terms: Terms = PLAIN,
    other_app: bool = False,
    told: Callable[[Upgrade], None] = lambda _: None,
) -> list[Upgrade]:
    """Give instances another app, each in a transaction of its own: the reads of `find_targets` and 2, and for each
    instance 5 reads and 1 write.

    All are looked at before the first is written. One that has the app already is not written, unless its node says
    that it failed: then it is tried again; or waits with it for another time than is meant now.

    Args:
        other_app: an app of another name is meant, too.
        told: called for each as soon as it is written: what is told stands, also where a later one is refused.

    Raises:
        errors.NotFound, errors.Invalid: there is no such app, or a reference means nothing, or several.
        errors.Conflict: an instance is being undeployed, has no record, runs an app of another name, a port of its node
            is taken, or others wrote first again and again.
        errors.Unreachable: no answer to a write in time.
    """
    app = get_app(client, name, version)
    images = pinned_images(client, app.app)
    targets = [with_status(client, target) for target in find_targets(client, references)]
    _refuse(targets, terms, None if other_app else name)

    def prepare(target: Target, write: Write) -> changes.Change | None:
        assert target.entry is not None
        instance = _desired(target)
        if instance.app == app.reference and not _failed(instance, target.status):
            if not terms.waits_otherwise(instance, target.status):
                return None
            return changes.rollback_of(client, target.entry, instance, instance.revision, write)
        return changes.upgrade_of(
            client, target.entry, instance, app, write, images=images, serving=_serving(target)
        )

    return _write_all(client, targets, prepare, terms, told=told)


def roll_back(
    client: Client,
    references: Sequence[str],
    *,
    to: int | None = None,
    terms: Terms = PLAIN,
    told: Callable[[Upgrade], None] = lambda _: None,
) -> list[Upgrade]:
    """Set the last launched revision before the present one again, or that of generation `to`: requests as for `upgrade`.

    Raises:
        errors.NotFound: a reference means nothing, or the generation's revision is not kept.
        errors.Invalid: a reference means several.
        errors.Conflict: there is nothing to go back to, or as for `upgrade`.
        errors.Unreachable: no answer to a write in time.
    """
    targets = [with_status(client, target) for target in find_targets(client, references)]
    _refuse(targets, terms, None)
    for target in targets:
        revision_before(_desired(target), target.status, to)

    def prepare(target: Target, write: Write) -> changes.Change | None:
        assert target.entry is not None
        instance = _desired(target)
        revision = revision_before(instance, target.status, to)
        if revision.id == instance.revision.id:
            return None
        return changes.rollback_of(client, target.entry, instance, revision, write)

    return _write_all(client, targets, prepare, terms, told=told)


def revision_before(instance: Instance, status: InstanceStatus | None, to: int | None) -> Revision:
    """The revision that a rollback sets again.

    Raises:
        errors.NotFound: the revision of generation `to` is not kept.
        errors.Conflict: no earlier revision is kept that was launched.
    """
    kept = ", ".join(f"{revision.generation} ({revision.app})" for revision in instance.revisions)
    if to is not None:
        for revision in instance.revisions:
            if revision.generation == to:
                return revision
        raise errors.NotFound(
            f"{instance.id} keeps no revision of generation {to}", hint=f"It keeps those of {kept}."
        )
    outcomes = (
        {}
        if status is None or status.uid != instance.uid
        else {o.generation: o.outcome for o in status.outcomes}
    )
    for revision in instance.revisions[1:]:
        if outcomes.get(revision.generation, "launched") in ("launched", "stopped"):
            return revision
    raise errors.Conflict(
        f"{instance.id} keeps no earlier revision that was launched", hint=f"It keeps those of {kept}."
    )


def _write_all(
    client: Client,
    targets: Sequence[Target],
    prepare: Callable[[Target, Write], changes.Change | None],
    terms: Terms,
    *,
    told: Callable[[Upgrade], None],
) -> list[Upgrade]:
    """Prepare all, so that every refusal comes before the first write; then write one after another."""
    prepared = []
    for target in targets:
        write = terms.write(client)  # the same for every try: whichever the store took, it is recognised
        prepared.append((target, write, prepare(target, write)))
    present: dict[str, bool] = {}
    for target in targets:
        if target.node not in present:
            lease = client.store.get(keys.lease(target.node))
            present[target.node] = lease is not None and bool(lease.session)
    done = []
    for target, write, first in prepared:
        made = _Writing(client, target, write, prepare, terms).run(first, away=not present[target.node])
        done.append(made)
        told(made)
    return done


@dataclass(slots=True)
class _Writing:
    """One instance's transaction, made anew as long as others write first."""

    client: Client
    target: Target
    write: Write
    prepare: Callable[[Target, Write], changes.Change | None]
    terms: Terms

    def run(self, change: changes.Change | None, *, away: bool) -> Upgrade:
        done: Upgrade | None = None

        def attempt() -> bool:
            nonlocal change, done
            if change is None:
                instance = _desired(self.target)
                done = _upgrade(instance, instance, written=self.write.change in instance.lineage, away=away)
                return True
            after = change.after
            try:
                self.client.write(
                    change.operations,
                    lambda: has_change(self.client, keys.instance(after.node, after.id), self.write.change),
                    otherwise=f"`roj history {after.id}` shows it; the same again is safe.",
                )
            except Conflict:
                change = self._again(after)
                return False
            done = _upgrade(change.before, after, written=True, away=away)
            return True

        if not self.client.again(attempt):
            raise errors.Conflict(
                f"others changed {self.target.name} first, again and again", hint="Repeat it."
            )
        assert done is not None
        return done

    def _again(self, wanted: Instance) -> changes.Change | None:
        """The change on top of what is there now; None: it is there."""
        key = keys.instance(self.target.node, self.target.id)
        entry = self.client.store.get(key, consistent=True)
        if entry is None:
            raise errors.Conflict(f"{self.target.name} was undeployed just now", hint="Look again.")
        self.target = Target(self.target.node, self.target.id, entry, self.target.status)
        instance = _desired(self.target)
        if instance.uid != wanted.uid:
            raise errors.Conflict(f"{self.target.name} was deployed anew just now", hint="Look again.")
        if self.write.change in instance.lineage:
            return None
        _refuse([self.target], self.terms, None)
        return self.prepare(self.target, self.write)


def _refuse(targets: Sequence[Target], terms: Terms, name: str | None) -> None:
    """Every reason why one of them cannot be changed."""
    faults = []
    for target in targets:
        instance = target.desired()
        if instance is None:
            faults.append(Fault(target.name, "the store has no record of it: `roj adopt` claims it"))
        elif instance.goal == "undeploy":
            faults.append(Fault(target.name, "is being undeployed, and that is not taken back"))
        elif name is not None and instance.app.name != name:
            faults.append(
                Fault(target.name, f"runs {instance.app}, an app of another name (--other-app means it)")
            )
        elif overtaken := terms.overtaken(instance):
            faults.append(Fault(target.name, overtaken))
    if len(faults) == 1:
        raise errors.Conflict(f"{faults[0]}")
    if faults:
        raise errors.Conflict("these cannot be changed:", faults=faults)


def _desired(target: Target) -> Instance:
    instance = target.desired()
    assert instance is not None  # `_refuse` saw to it
    return instance


def _serving(target: Target) -> str:
    """The revision that its node says serves; empty: it says nothing of this life of the instance."""
    status = target.status
    return status.revision if status is not None and status.uid == _desired(target).uid else ""


def _failed(instance: Instance, status: InstanceStatus | None) -> bool:
    """Whether the node says that it tried the instance's revision in vain."""
    return (
        status is not None
        and status.uid == instance.uid
        and status.observed_generation == instance.generation
        and status.phase == "failed"
    )


def _upgrade(before: Instance, after: Instance, *, written: bool, away: bool) -> Upgrade:
    return Upgrade(
        node=after.node, id=after.id, uid=after.uid, goal=after.goal, app=str(after.app), before=str(before.app),
        generation=after.generation, written=written, away=away,
    )  # fmt: skip


__all__ = ["StoredApp", "Terms", "Upgrade", "revision_before", "roll_back", "upgrade"]
