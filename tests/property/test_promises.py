"""The promises of DESIGN.md section 7, on the unmodified agent, under faults that nobody planned by hand.

Every run is checked by every oracle that watches (at most one, no harm, no time travel, bystanders, garbage safety,
truthful status) and by those of the end (convergence, quiescence, bounded work, no lost order); the properties differ in
what goes wrong. A fresh seed each time, printed; `ROJ_SIM_SEED` gives the same examples again. `ROJ_SIM_SECONDS` is the
time for all of them together (150 s). A failing run is shrunk and told as a story, with the line that replays it.
At the end it is said how much was run, and how many pairs of a fault and the action that it befell were covered;
`ROJ_SIM_REPORT=FILE` has that written as JSON, every pair with its count.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import SystemRandom

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.property.simulation.coverage import Coverage
from tests.property.simulation.play import Run, frozen, offline, play
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS
from tests.property.simulation.scenario import (
    EVERYTHING,
    REWINDS,
    Command,
    Happening,
    Scenario,
    Window,
    scenarios,
)
from tests.property.simulation.schedule import Schedule
from tests.property.simulation.store_faults import STORE_FAULTS, StoreFault

SECONDS = float(os.environ.get("ROJ_SIM_SECONDS", "150"))
SEED = int(os.environ.get("ROJ_SIM_SEED", "0")) or SystemRandom().randrange(1, 2**32)
SHRINK = os.environ.get("ROJ_SIM_SHRINK") != "no"
"""`no`: a failure is told as it was found, which is quicker where only its being found counts."""
BATCH = 15
"""Examples between two looks at the clock."""
SHARES: dict[str, float] = {}
"""By test: how much of the time it has, beside the others."""
REPORT = os.environ.get("ROJ_SIM_REPORT", "")


@dataclass(slots=True)
class Ran:
    """What was run of one property, or of all."""

    runs: int = 0
    steps: int = 0
    seconds: float = 0.0
    """Of the processor: other processes do not count."""
    covered: Coverage = field(default_factory=Coverage)

    def add(self, other: Ran) -> None:
        self.runs += other.runs
        self.steps += other.steps
        self.seconds += other.seconds
        self.covered.add([other.covered])


RAN: dict[str, Ran] = {}
"""By property."""


def batch(
    drawn: st.SearchStrategy[Scenario], how: Callable[[Scenario], object], number: int, examples: int = BATCH
) -> None:
    """Some examples, always the same of the same `number`."""

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if SHRINK else [Phase.generate],
        report_multiple_bugs=False,
        print_blob=False,
        deadline=None,
    )
    @given(drawn)
    def run(scenario: Scenario) -> None:
        how(scenario)

    run()


def explore(name: str, drawn: st.SearchStrategy[Scenario], how: Callable[[Scenario], Run] = play) -> None:
    """Fresh examples, batch after batch, for the test's share of the time; at least one batch."""
    ran = RAN.setdefault(name, Ran())
    ends = time.monotonic() + SECONDS * SHARES[name] / sum(SHARES.values())

    def counted(scenario: Scenario) -> None:
        began = time.process_time()
        world = how(scenario).world
        ran.add(Ran(1, world.scheduler.steps, time.process_time() - began, world.covered()))

    for number in count():
        batch(drawn, counted, SEED + number)
        if time.monotonic() > ends:
            return


@pytest.fixture(scope="module", autouse=True)
def _told(request: pytest.FixtureRequest) -> Iterator[None]:
    """The seed before, and what was run after, whether or not pytest captures output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nsimulation: ROJ_SIM_SEED={SEED}, {SECONDS:.0f} s")
    yield
    with capture.global_and_fixture_disabled():
        print(f"\nsimulation: {_told_of_all()}")


def _told_of_all() -> str:
    """In one line; and in the report, if one is wanted."""
    whole = Ran()
    for ran in RAN.values():
        whole.add(ran)
    rate = whole.steps / max(whole.seconds, 0.001)
    pairs = whole.covered.pairs
    if REPORT:
        report = {
            "seed": SEED,
            "runs": whole.runs,
            "steps": whole.steps,
            "steps_per_second": round(rate),
            "runs_by_property": {name: ran.runs for name, ran in RAN.items()},
            "pairs": {f"{action} / {fault}": count for (action, fault), count in sorted(pairs.items())},
        }
        Path(REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return (
        f"ROJ_SIM_SEED={SEED}, {whole.runs} runs, {whole.steps} steps ({rate:.0f} a second of one core), "
        f"{len(pairs)} fault-action pairs of {len(whole.covered.faults())} faults"
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in the runs of one property."""

    drawn: st.SearchStrategy[Scenario]
    how: Callable[[Scenario], Run] = play
    share: float = 1.0


WATCHED: tuple[StoreFault, ...] = ("early", "late", "index-back", "index-zero", "stale", "empty")
"""What a blocking query may answer."""
LIVES = (
    Command(4.0, 0, "deploy", 0, "a", "plain"),
    Command(5.0, 0, "deploy", 0, "b", "port"),
    Command(45.0, 0, "stop", 0, "a", ""),
    Command(46.0, 0, "undeploy", 0, "b", ""),
    Command(85.0, 0, "start", 0, "a", ""),
)


def set_back(*certain: Happening) -> st.SearchStrategy[Scenario]:
    """Runs in which the store goes back to what was obeyed before."""
    return scenarios(
        first=LIVES,
        certain=certain,
        whats=("restored", "restored-fresh", "restored-twin", "crash", "crash-soon", "container-removed"),
        faults=("answer-lost", "slow", "stale", "late"),
        verbs=("start", "stop", "undeploy", "deploy", "adopt"),
        steady=True,
        most_nodes=1,
    )


PROPERTIES = {
    "P1, P2, P12: convergence and quiescence, whatever the store answers": Trouble(
        scenarios(whats=("session-lost", "tombstones-reaped", "pause"), faults=STORE_FAULTS)
    ),
    "P1, P2, P12: convergence and quiescence, whatever a watch answers": Trouble(
        st.sampled_from(WATCHED).flatmap(
            lambda fault: scenarios(
                first=(Command(4.0, 0, "deploy", 0, "a", "plain"), Command(45.0, 0, "stop", 0, "a", "")),
                surely=(Window(30.0, 40.0, 0, fault, 1.0),),
                whats=("session-lost", "tombstones-reaped", "restored-fresh", "stop-start"),
                faults=WATCHED,
                steady=True,
                most_nodes=1,
            )
        )
    ),
    "P1, P2, P12: convergence and quiescence, whatever Docker answers": Trouble(
        scenarios(
            whats=("registry-down", "image-removed", "tag-moved", "port-occupied", "clock-jump"),
            faults=RUNTIME_FAULTS,
        )
    ),
    "P1: others go on beside nodes that never heal": Trouble(
        scenarios(whats=("crash", "boot", "container-crashes", "session-lost"), least_nodes=2, forever=True),
        frozen,
    ),
    "P3: at most one": Trouble(
        scenarios(
            whats=(
                "boot",
                "daemon-killed",
                "daemon-restarted",
                "container-paused",
                "container-removed",
                "container-started",
                "crash",
            ),
            faults=("answer-lost", "name-taken", "slow", "events-cut"),
            steady=True,
            most_nodes=1,
        )
    ),
    "P3: two machines of one name": Trouble(
        scenarios(
            whats=("rival", "rival", "crash", "stop-start", "boot", "session-lost", "docker-lost", "pause"),
            faults=("cut", "deaf", "flapping", "refused", "stale"),
            certain=(Happening(40.0, "rival", 0, 8),),
            steady=True,
            most_nodes=2,
        )
    ),
    "P3: two machines of one name that start at once": Trouble(
        scenarios(
            whats=("rival", "session-lost", "crash"),
            faults=("slow",),
            certain=(Happening(0.0, "rival", 0, 8),),
            steady=True,
            most_nodes=1,
        )
    ),
    "P3: one port, one instance": Trouble(
        scenarios(
            first=(
                Command(4.0, 0, "deploy", 0, "a", "port"),
                Command(4.0, 1, "deploy", 0, "b", "port"),
                Command(5.0, 0, "deploy", 0, "b", "dynamic"),
                Command(5.0, 1, "deploy", 0, "c", "dynamic"),
            ),
            whats=("crash-soon", "container-removed"),
            faults=("slow", "answer-lost", "contended"),
            apps=("port", "pair", "dynamic", "dynamic"),
            verbs=("deploy", "deploy", "deploy", "upgrade", "undeploy"),
            most_nodes=1,
        )
    ),
    "P4: an order is obeyed once, whatever the store goes back to": Trouble(
        st.one_of(
            set_back(Happening(70.0, "restored", 0, 2), Happening(110.0, "restored-fresh", 0, 5)),
            set_back(Happening(60.0, "restored-twin", 0, 2)),
        )
    ),
    "P4: absence is no order": Trouble(
        scenarios(
            whats=(*REWINDS, "record-garbled", "other-garbled", "crash", "disk-lost", "disk-damaged"),
            faults=("empty", "stale", "index-back", "index-zero", "cut", "answer-lost"),
        )
    ),
    "P4: what people do to the store by hand": Trouble(
        scenarios(
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"), Command(5.0, 0, "deploy", 0, "b", "pair")),
            certain=(Happening(40.0, "record-garbled", 0, 0), Happening(100.0, "record-deleted", 0, 1)),
            whats=(
                "record-deleted",
                "record-flickers",
                "other-garbled",
                "node-marked",
                "restored-twin",
                "crash",
            ),
            faults=("late", "early", "stale", "empty", "slow"),
            most_nodes=2,
        )
    ),
    "P4: unclaimed containers are reaped in time, and no sooner": Trouble(
        scenarios(
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
            certain=(Happening(50.0, "record-deleted", 0, 1),),
            whats=("record-deleted", "record-deleted", "restored", "wiped", "crash-soon", "disk-damaged"),
            faults=("empty", "stale", "cut", "answer-lost", "away"),
            steady=True,
            most_nodes=2,
            reap=(30.0, 120.0),
        )
    ),
    "P5: offline works": Trouble(
        scenarios(
            whats=(
                "crash",
                "crash-soon",
                "boot",
                "daemon-killed",
                "daemon-restarted",
                "container-crashes",
                "container-stopped",
                "container-removed",
                "stop-start",
                "image-removed",
            ),
            faults=(),
            steady=True,
            most_nodes=1,
        ),
        offline,
    ),
    "P6: no lost order": Trouble(
        scenarios(
            first=(
                Command(4.0, 0, "deploy", 0, "a", "plain"),
                *(Command(at, 0, "stop", 0, "a", "") for at in (20.0, 40.0, 60.0, 80.0)),
                *(Command(at, 1, "start", 0, "a", "") for at in (20.0, 40.0, 60.0, 80.0)),
            ),
            whats=(),
            faults=("answer-lost", "deaf", "reset", "error", "slow", "contended", "cut"),
            steady=True,
            most_nodes=2,
        )
    ),
    "P6: operators who remove apps while others deploy them": Trouble(
        scenarios(
            first=(
                Command(4.0, 0, "deploy", 0, "a", "plain"),
                Command(10.0, 0, "undeploy", 0, "a", ""),
                *(Command(at, 0, "remove-app", 0, "a", "plain") for at in (20.0, 50.0)),
                *(Command(at, 1, "deploy", 0, "b", "plain") for at in (20.0, 50.0)),
                Command(35.0, 1, "undeploy", 0, "b", ""),
            ),
            whats=("crash-soon", "restored"),
            faults=("answer-lost", "slow", "stale", "contended"),
            verbs=("deploy", "remove-app", "undeploy", "adopt", "upgrade"),
            most_nodes=2,
        )
    ),
    "P6: one life after another": Trouble(
        scenarios(
            whats=("crash-soon",),
            faults=("answer-lost", "slow", "slow", "deaf"),
            verbs=("deploy", "deploy", "undeploy"),
            steady=True,
            most_nodes=1,
        )
    ),
    "P7: bystanders are safe": Trouble(
        scenarios(
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"), Command(20.0, 0, "undeploy", 0, "a", "plain")),
            certain=(Happening(5.0, "disk-pressure", 0, 0), Happening(30.0, "tag-moved", 0, 8)),
            whats=(
                "stranger",
                "name-taken-by-hand",
                "disk-pressure",
                "disk-lost",
                "boot",
                "image-removed",
                "tag-moved",
                "docker-lost",
            ),
            steady=True,
            most_nodes=1,
        )
    ),
    "P8: nothing in use is collected": Trouble(
        scenarios(
            whats=("disk-pressure", "image-removed", "tag-moved", "crash-soon", "clock-jump"),
            faults=("slow", "stale", "answer-lost", "image-vanishes"),
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"), Command(20.0, 0, "upgrade", 0, "a", "port")),
            certain=(Happening(5.0, "disk-pressure", 0, 0),),
            most_nodes=1,
        )
    ),
    "P9: a bad upgrade costs nothing": Trouble(
        scenarios(
            whats=(
                "crash-soon",
                "crash",
                "boot",
                "daemon-restarted",
                "disk-full",
                "node-marked",
                "stop-start",
            ),
            faults=(
                "answer-lost",
                "slow",
                "start-refused",
                "pull-fails",
                "pull-stalls",
                "name-taken",
                "deaf",
            ),
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"), Command(5.0, 1, "deploy", 0, "b", "pair")),
            verbs=("upgrade", "upgrade", "upgrade", "rollback", "stop", "start"),
            most_nodes=1,
        )
    ),
    "P10: truthful status": Trouble(
        scenarios(
            first=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
            certain=(Happening(60.0, "clock-jump", 0, 20),),
            whats=(
                "container-crashes",
                "container-paused",
                "container-policy",
                "container-started",
                "clock-jump",
                "daemon-killed",
                "crash",
            ),
            faults=("slow", "answer-lost", "start-refused", "deaf"),
            apps=("hasty", "hasty", "crashing", "plain", "pair", "broken"),
            most_nodes=1,
        )
    ),
    "P11: crash anywhere": Trouble(
        scenarios(whats=("crash-soon", "disk-full", "disk-broken", "disk-damaged", "docker-lost", "boot"))
    ),
    "everything at once": Trouble(scenarios(whats=EVERYTHING), share=3.0),
}
SHARES.update({name: trouble.share for name, trouble in PROPERTIES.items()})


@pytest.mark.timeout(SECONDS + 600.0)
@pytest.mark.parametrize("name", PROPERTIES)
def test_promise(name: str) -> None:
    explore(name, PROPERTIES[name].drawn, PROPERTIES[name].how)


REGRESSIONS = {
    # Set back twice after an undeploy: what had been obeyed last looked like an operator's write on top of the first.
    "set-back-twice-after-an-undeploy": Scenario(
        nodes=1,
        schedule=Schedule(seed=1870843),
        commands=(
            Command(4.0, 0, "deploy", 0, "a", "plain"),
            Command(45.0, 0, "stop", 0, "a", ""),
            Command(85.0, 0, "start", 0, "a", ""),
            Command(102.6, 1, "undeploy", 0, "a", "plain"),
        ),
        windows=(Window(57.4, 150.0, 0, "late", 1.0),),
        happenings=(Happening(110.0, "restored-fresh", 0, 5), Happening(106.5, "restored", 0, 30)),
    ),
    # Undeployed, brought back by an operator after a restore, and lost by the next one: it was collected as undeployed.
    "brought-back-and-collected": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(
            Command(12.0, 0, "deploy", 0, "b", "port"),
            Command(46.0, 0, "undeploy", 0, "b", "port"),
            Command(145.0, 0, "start", 0, "b", "port"),
        ),
        happenings=(Happening(77.0, "restored", 0, 3), Happening(160.0, "restored", 0, 0)),
    ),
    # A list that was empty though the key was there: it was made again and again without a pause.
    "lock-not-seen": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
        windows=(Window(20.0, 150.0, 0, "empty", 1.0),),
        happenings=(Happening(30.0, "crash", 0, 5),),
    ),
    # Unclaimed at two looks of the collector, claimed between them: it was reaped as if it had been so all along.
    "unclaimed-claimed-unclaimed": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
        happenings=(Happening(31.0, "record-deleted", 0, 189), Happening(91.0, "record-deleted", 0, 1)),
        reap=30.0,
    ),
    # The store had lost an app, and was asked for it at every look at an instance that was only kept.
    "app-asked-for-ever": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(10.0, 0, "deploy", 0, "a", "plain"),),
        happenings=(Happening(11.0, "restored", 0, 0), Happening(12.0, "disk-damaged", 0, 0)),
    ),
    # A node that was forgotten while its disk was full stood by for ever: the record without the mark was no news.
    "forgotten-on-a-full-disk": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(),
        happenings=(Happening(47.7, "node-marked", 0, 400), Happening(30.4, "disk-full", 0, 153)),
    ),
    # The election made the lock's key without a pause, as long as the store did not show that it was there.
    "lock-not-shown": Scenario(
        nodes=2,
        schedule=Schedule(),
        commands=(),
        windows=(Window(29.8, 150.0, 1, "empty", 1.0),),
        happenings=(Happening(56.6, "disk-damaged", 1, 52),),
        reap=120.0,
    ),
    # Undeployed, brought back by an operator after a restore, restored again: an order of before was obeyed once more.
    "obeyed-before-it-was-undeployed": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(
            Command(4.0, 0, "deploy", 0, "a", "plain"),
            Command(45.0, 0, "stop", 0, "a", ""),
            Command(66.0, 0, "undeploy", 0, "a", ""),
            Command(135.0, 0, "start", 0, "a", ""),
        ),
        happenings=(Happening(70.0, "restored", 0, 2), Happening(140.0, "restored-fresh", 0, 5)),
    ),
    # Another machine did the undeploy; when this one was the node's agent again it reported the instance for ever.
    "undeployed-by-another-machine": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(
            Command(4.0, 0, "deploy", 0, "b", "plain"),
            Command(30.0, 0, "deploy", 0, "a", "plain"),
            Command(31.0, 0, "undeploy", 0, "a", "plain"),
        ),
        happenings=(Happening(4.0, "rival", 0, 33),),
    ),
    # An upgrade had failed as there was no such image: it was asked for again and again.
    "failed-upgrade-still-pulled": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(
            Command(4.0, 0, "deploy", 0, "a", "plain"),
            Command(20.0, 0, "upgrade", 0, "a", "missing"),
        ),
    ),
    # So was that of an instance which the store had lost before it was ever launched.
    "unclaimed-still-pulled": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "missing"),),
        happenings=(Happening(30.0, "record-deleted", 0, 1),),
    ),
    # An image that somebody removed as soon as it was pulled was pulled again and again without a pause.
    "image-taken-away": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
        windows=(Window(4.0, 40.0, 0, "image-vanishes", 1.0),),
    ),
    # Our image was collected by its tag, which was somebody else's image by then.
    "tag-moved-by-hand": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(
            Command(4.0, 0, "deploy", 0, "a", "plain"),
            Command(20.0, 0, "undeploy", 0, "a", "plain"),
        ),
        happenings=(Happening(5.0, "disk-pressure", 0, 0), Happening(30.0, "tag-moved", 0, 8)),
    ),
    # `--reap-unclaimed` never removed an instance whose order the node still had.
    "unclaimed-never-reaped": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "pair"),),
        happenings=(Happening(30.0, "record-deleted", 0, 1),),
        reap=30.0,
    ),
    # The same, where the record vanished before anything was made.
    "unclaimed-and-nothing-made": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "missing"),),
        happenings=(Happening(30.0, "record-deleted", 0, 1),),
        reap=30.0,
    ),
    # A restart policy that somebody had set by hand stayed, though Docker tells of it.
    "policy-by-hand": Scenario(
        nodes=1,
        schedule=Schedule(),
        commands=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
        happenings=(Happening(30.0, "container-policy", 0, 0),),
    ),
    # The reporter went round and round: an event whose answer was lost stayed due though it was in the ring.
    "event-answer-lost": Scenario(
        nodes=1,
        schedule=Schedule(seed=291, density=0.1),
        commands=(Command(6.0, 0, "deploy", 0, "a", "plain"),),
        windows=(Window(4.0, 2.0, 0, "cut", 0.05), Window(4.0, 10.0, 0, "deaf", 0.05)),
    ),
    # A wiped store, and an undeploy that waited for Docker: its record was asked for again and again without a pause.
    "undeploy-in-wiped-store": Scenario(
        nodes=1,
        schedule=Schedule(density=0.02),
        commands=(
            Command(10.0, 0, "deploy", 0, "a", "plain"),
            Command(50.0, 0, "undeploy", 0, "a", "plain"),
        ),
        windows=(Window(40.0, 60.0, 0, "away", 1.0),),
        happenings=(Happening(60.0, "wiped", 0, 39),),
    ),
    # Restored to where an undeploy was ordered and not done yet: it was done once more, to what was deployed since.
    "undeploy-of-another-life": Scenario(
        nodes=1,
        schedule=Schedule(seed=120, density=0.1, stalls=0.002),
        commands=(
            Command(4.0, 0, "deploy", 0, "a", "plain"),
            Command(4.0, 0, "deploy", 0, "c", "plain"),
            Command(5.0, 0, "deploy", 0, "a", "plain"),
            Command(76.0, 0, "undeploy", 0, "c", "plain"),
            Command(77.0, 1, "deploy", 0, "a", "plain"),
            Command(89.0, 0, "deploy", 0, "c", "plain"),
        ),
        happenings=(Happening(140.0, "restored", 0, 91),),
    ),
    # With the state directory lost, containers were called unclaimed before the first listing.
    "unclaimed-too-early": Scenario(
        nodes=1,
        schedule=Schedule(density=0.02),
        commands=(Command(4.0, 0, "deploy", 0, "a", "plain"),),
        happenings=(Happening(91.0, "disk-lost", 0, 33),),
    ),
    # Launched after 0.7 s: the worker was interrupted between Docker's answer and its look at the clock.
    "launched-too-early": Scenario(
        nodes=1,
        schedule=Schedule(seed=14038, density=0.3, stalls=0.01),
        commands=(
            Command(26.0, 0, "deploy", 0, "b", "port"),
            Command(26.0, 1, "deploy", 0, "a", "dynamic"),
            Command(27.0, 0, "deploy", 0, "a", "plain"),
            Command(27.0, 1, "deploy", 0, "a", "plain"),
        ),
    ),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_was_found_before(name: str) -> None:
    play(REGRESSIONS[name])


@pytest.mark.parametrize("number", range(3))
def test_a_stuck_instance_never_blocks_another(number: int) -> None:
    """P1: one whose image does not exist, one that crashes again and again; a third is launched at once all the same."""
    commands = (
        Command(5.0, 0, "deploy", 0, "a", "missing"),
        Command(6.0, 0, "deploy", 0, "b", "crashing"),
        Command(60.0, 0, "deploy", 0, "c", "pair"),
    )
    play(Scenario(1, Schedule(number, 0.1), commands, (Window(20.0, 100.0, 0, "pull-stalls", 0.3),)))
