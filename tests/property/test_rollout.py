"""The plan of a rollout, in a world where nodes go away, upgrades fail, and operators interfere."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roj.api.app import AppReference
from roj.api.instance import Instance, InstanceStatus, Write, changed, new_instance, rolled_back, upgraded
from roj.api.rollout import ENDED, Rollout, RolloutStatus, Target, parse_share
from roj.controllers.rollout_plan import Seen, advance, served, started, undoing

V1, V2, V3 = (AppReference(name="web", version=f"v{n}", digest=f"{n:064d}") for n in (1, 2, 3))
START = datetime(2026, 1, 1, tzinfo=UTC)
SHARES = st.sampled_from(["1", "2", "3", "25%", "50%", "100%"])


@dataclass
class Place:
    """One instance, as the store and its node have it."""

    instance: Instance
    status: InstanceStatus
    present: bool = True
    left: float = 0.0
    """Seconds until its node has acted on the order."""
    upgrades: int = 0
    undone: int = 0
    manual: bool = False


@dataclass
class World:
    """Instances, the rollout's record, and an agent that carries it out."""

    rollout: Rollout
    places: dict[str, Place]
    random: Random
    bad: frozenset[str]
    now: datetime = START
    status: RolloutStatus | None = None
    writes: int = 0
    faults: list[str] = field(default_factory=list)

    def look(self, target: Target) -> Seen:
        place = self.places[target.id]
        gone = place.instance.uid != target.uid
        return Seen(None if gone else place.instance, place.status, place.present)

    def write(self) -> Write:
        self.writes += 1
        return Write(f"c{self.writes}", self.now)

    def carry_out(self, *, crash: bool) -> None:
        """One look of the controller. With `crash` it dies before its first write."""
        plan = advance(self.rollout, self.status, self.look, self.now)
        if crash:
            return
        self.status = plan.status
        for number in (*plan.upgrade, *plan.undo):
            place = self.places[self.rollout.targets[number].id]
            steps, before = list(self.status.steps), place.instance
            if number in plan.upgrade:
                assert before.app == self.first
                place.instance = upgraded(before, self.write(), V2, {})
                place.upgrades += 1
                steps[number] = started(
                    steps[number],
                    place.instance,
                    served(self.look(self.rollout.targets[number]), before),
                    self.now,
                )
            else:
                back = next(r for r in before.revisions if r.id == steps[number].back)
                place.instance = rolled_back(before, self.write(), back)
                place.undone += 1
                steps[number] = undoing(steps[number], place.instance, self.now)
            place.left = self.random.uniform(0.5, 8.0)
            self.status = self.status.model_copy(update={"steps": tuple(steps)})
        self.check()

    def check(self) -> None:
        assert self.status is not None
        under_way = sum(
            place.present
            and place.status.observed_generation < place.instance.generation
            and not place.manual
            for place in self.places.values()
        )
        if under_way > self.rollout.window() and self.calm:
            self.faults.append(f"{under_way} under way, the window is {self.rollout.window()}")
        if self.status.phase == "running":
            failed = self.status.count("failed") - self.status.forgiven
            if failed > self.rollout.max_failures.of(len(self.rollout.targets)):
                self.faults.append(f"{failed} failed, and it goes on")

    first = V1
    calm = True
    """No node that was away came back with an order that waited for it."""

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for id, place in self.places.items():
            if not place.present or place.status.observed_generation == place.instance.generation:
                continue
            place.left -= seconds
            if place.left <= 0:
                phase = "failed" if place.instance.app == V2 and id in self.bad else "launched"
                place.status = report(place.instance, phase, self.now)


def report(instance: Instance, phase: Any, now: datetime) -> InstanceStatus:
    return InstanceStatus(
        id=instance.id, node=instance.node, uid=instance.uid, app=instance.app, phase=phase,
        observed_generation=instance.generation, since=now,
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 8))
    targets, places = [], {}
    for number in range(count):
        id = f"web-{number}"
        instance = new_instance(
            id=id, node=f"n{number}", uid=f"u{number}", write=Write(f"d{number}", START), app=V1
        )
        targets.append(
            Target(node=f"n{number}", id=id, uid=f"u{number}", revision=f"d{number}", shard=f"z{number // 3}")
        )
        places[id] = Place(instance, report(instance, "launched", START))
    rollout = Rollout(
        name="r", uid="r1", to=V2, targets=tuple(targets), change="r", when=START,
        batch=parse_share(draw(SHARES)),
        canary=draw(st.integers(0, 2)),
        max_failures=parse_share(draw(st.sampled_from(["0", "1", "50%"]))),
        pause_after=draw(st.sampled_from([None, "canary", "shard", "batch"])),
        wait_between=draw(st.sampled_from([0.0, 3.0])),
        on_failure=draw(st.sampled_from(["pause", "rollback"])),
    )  # fmt: skip
    bad = draw(st.sets(st.sampled_from([t.id for t in targets]), max_size=2))
    return World(rollout, places, Random(draw(st.integers(0, 9999))), frozenset(bad))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.1, 5.0)),
        st.tuples(st.just("crash"), st.just(0.0)),
        st.tuples(st.just("away"), st.integers(0, 7)),
        st.tuples(st.just("manual"), st.integers(0, 7)),
        st.tuples(st.just("redeployed"), st.integers(0, 7)),
        st.tuples(st.sampled_from(["pause", "run", "run", "rollback", "abort"]), st.just(0.0)),
    ),
    max_size=12,
)


@given(worlds(), STEPS)
def test_a_rollout_keeps_its_promises(world: World, steps: list[tuple[str, float]]) -> None:
    for what, value in steps:
        place = world.places[f"web-{int(value) % len(world.places)}"]
        match what:
            case "wait":
                world.pass_time(value)
            case "crash":
                world.carry_out(crash=True)
            case "away":
                place.present = not place.present
                world.calm = False
            case "manual":
                place.instance = upgraded(place.instance, world.write(), V3, {})
                place.left, place.manual = 1.0, True
            case "redeployed":
                write = world.write()
                place.instance = new_instance(id=place.instance.id, node=place.instance.node, uid=write.change,
                                              write=write, app=V1)  # fmt: skip
                place.status, place.manual = report(place.instance, "launched", world.now), True
            case goal:
                world.rollout = world.rollout.model_copy(
                    update={"goal": goal, "generation": world.rollout.generation + 1}
                )
        world.carry_out(crash=False)
    for place in world.places.values():
        place.present = True
    for _ in range(400):
        world.carry_out(crash=False)
        world.pass_time(1.0)
        assert world.status is not None
        if world.status.phase == "paused":
            world.rollout = world.rollout.model_copy(
                update={"goal": "run", "generation": world.rollout.generation + 1}
            )
    assert world.status is not None
    assert not world.faults
    assert world.status.phase in ENDED, world.status
    for target, step in zip(world.rollout.targets, world.status.steps, strict=True):
        place = world.places[target.id]
        assert place.upgrades <= 1
        assert place.undone <= 1
        if place.manual:
            assert place.instance.app != V2 or not place.manual or place.upgrades == 1
            continue
        match world.status.phase:
            case "done":
                assert place.upgrades == 1
                assert (place.instance.app, step.state) == (
                    V2,
                    "failed" if target.id in world.bad else "done",
                )
            case "rolled_back":
                assert place.instance.app == V1
                assert place.undone == place.upgrades


@given(worlds())
def test_undisturbed_it_ends_with_every_instance_done_or_paused_at_the_failure_too_many(world: World) -> None:
    canaries: set[int] = set()
    for _ in range(300):
        world.carry_out(crash=False)
        world.pass_time(0.5)
        assert world.status is not None
        begun = {number for number, step in enumerate(world.status.steps) if step.state != "waiting"}
        if world.rollout.canary and begun - set(range(world.rollout.canary)):
            done = {
                n
                for n in range(world.rollout.canary)
                if world.status.steps[n].state in ("done", "failed", "undone")
            }
            canaries |= set(range(world.rollout.canary)) & set(range(len(world.status.steps))) - done - begun
    assert not canaries
    assert not world.faults
    assert world.status is not None
    bad = sum(target.id in world.bad for target in world.rollout.targets)
    if bad <= world.rollout.max_failures.of(len(world.rollout.targets)) and world.rollout.pause_after is None:
        assert world.status.phase == "done"
    allowed = world.rollout.max_failures.of(len(world.rollout.targets))
    assert world.status.count("failed", "stuck") <= allowed + world.rollout.window()


def test_it_pauses_after_the_canary_and_goes_on_when_resumed() -> None:
    targets = tuple(Target(node=f"n{n}", id=f"web-{n}", uid=f"u{n}", revision=f"dweb-{n}") for n in range(4))
    rollout = Rollout(
        name="r", uid="r1", to=V2, targets=targets, change="r", when=START, canary=1, pause_after="canary",
        batch=parse_share("2"),
    )  # fmt: skip
    instances = [
        new_instance(id=t.id, node=t.node, uid=t.uid, write=Write(f"d{t.id}", START), app=V1) for t in targets
    ]
    world = World(
        rollout, {i.id: Place(i, report(i, "launched", START)) for i in instances}, Random(1), frozenset()
    )
    for _ in range(30):
        world.carry_out(crash=False)
        world.pass_time(1.0)
    assert world.status is not None
    assert [step.state for step in world.status.steps] == ["done", "waiting", "waiting", "waiting"]
    assert (world.status.phase, "resume" in world.status.message) == ("paused", True)
    world.rollout = rollout.model_copy(update={"generation": 2})
    world.carry_out(crash=False)
    assert [step.state for step in world.status.steps] == ["done", "started", "started", "waiting"]
    place = world.places["web-3"]
    place.instance = changed(place.instance, world.write(), "undeploy")
    for _ in range(30):
        world.carry_out(crash=False)
        world.pass_time(1.0)
    assert world.status.phase == "done"
    assert world.status.steps[3].state == "left"


def test_it_goes_back_to_what_served_not_to_what_had_failed_before() -> None:
    target = Target(node="n0", id="web-0", uid="u0", revision="bad")
    instance = new_instance(id="web-0", node="n0", uid="u0", write=Write("good", START), app=V1)
    instance = upgraded(instance, Write("bad", START), V3, {})
    failed = report(instance, "failed", START).model_copy(update={"revision": "good", "app": V1})
    rollout = Rollout(name="r", uid="r1", to=V2, targets=(target,), change="r", when=START)
    world = World(rollout, {"web-0": Place(instance, failed)}, Random(1), frozenset())
    world.first = V3
    for _ in range(20):
        world.carry_out(crash=False)
        world.pass_time(1.0)
    assert world.status is not None
    assert (world.status.phase, world.status.steps[0].back) == ("done", "good")
    world.rollout = rollout.model_copy(update={"goal": "rollback", "generation": 2})
    for _ in range(20):
        world.carry_out(crash=False)
        world.pass_time(1.0)
    assert (world.status.phase, world.places["web-0"].instance.app) == ("rolled_back", V1)
