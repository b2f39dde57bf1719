"""A run as a value: what operators do, what goes wrong, and who goes on when. Hypothesis draws and shrinks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, get_args

from hypothesis import strategies as st

from tests.property.simulation.operators import CATALOGUE, STEADY, Verb
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS, RuntimeFault
from tests.property.simulation.schedule import Schedule
from tests.property.simulation.store_faults import STORE_FAULTS, StoreFault

What = Literal[
    # the agent
    "crash", "crash-soon", "pause", "clock-jump", "stop-start", "rival",
    # its disk
    "disk-full", "disk-broken", "disk-damaged", "disk-lost",
    # the machine and its Docker
    "boot", "daemon-killed", "daemon-restarted", "docker-lost", "container-crashes", "container-stopped",
    "container-removed", "container-paused", "container-started", "container-policy", "name-taken-by-hand", "image-removed", "tag-moved",
    "registry-down", "disk-pressure", "port-occupied", "stranger",
    # the store
    "session-lost", "tombstones-reaped", "restored", "restored-fresh", "restored-twin", "wiped", "swapped",
    # its records, by hand
    "record-garbled", "other-garbled", "record-deleted", "record-flickers", "node-marked",
]  # fmt: skip
EVERYTHING: tuple[What, ...] = get_args(What)
REWINDS: tuple[What, ...] = ("restored", "restored-fresh", "restored-twin", "wiped", "swapped")
"""What sets the store back, so that acknowledged writes may be gone."""
IDS = ("a", "b", "c")
VERBS: tuple[Verb, ...] = (
    "deploy", "deploy", "deploy", "upgrade", "rollback", "start", "stop", "undeploy", "adopt", "remove-app",
)  # fmt: skip
"""What operators do, each as often as it stands here."""


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command."""

    at: float
    operator: int
    verb: Verb
    node: int
    id: str
    app: str


@dataclass(frozen=True, slots=True)
class Window:
    """A share of the calls goes wrong for a while."""

    at: float
    seconds: float
    place: int
    """A node, or, after the last of them, an operator's machine."""
    fault: StoreFault | RuntimeFault
    rate: float

    @property
    def forever(self) -> bool:
        return self.seconds == inf


@dataclass(frozen=True, slots=True)
class Happening:
    """Something happens to the world."""

    at: float
    what: What
    node: int
    number: int
    """Which container, file, snapshot, ...; how many points or seconds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run."""

    nodes: int
    schedule: Schedule
    commands: tuple[Command, ...]
    windows: tuple[Window, ...] = ()
    happenings: tuple[Happening, ...] = ()
    reap: float | None = None
    """`--reap-unclaimed`, of every agent."""

    def line(self) -> str:
        """The one line that replays it."""
        return f"play({self!r})"


TROUBLE = 150.0
"""Seconds within which everything that goes wrong begins."""
TIMES = st.floats(4.0, TROUBLE, allow_nan=False, width=32).map(lambda time: round(time, 1))


AFTER = (0.0, 0.0, 0.0, 0.5, 2.0, 6.0)
"""Seconds after a moment at which several things happen."""


def schedules() -> st.SearchStrategy[Schedule]:
    """Seeds, and how restless the scheduler is."""
    return st.builds(
        Schedule,
        seed=st.integers(0, 2**32),
        density=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
        stalls=st.sampled_from([0.0, 0.002, 0.01]),
    )


def commands(
    nodes: int, *, apps: Sequence[str] = tuple(CATALOGUE), most: int = 10, verbs: Sequence[Verb] = VERBS
) -> st.SearchStrategy[tuple[Command, ...]]:
    """What operators do, in order of time.

    To few instances, so that much happens to each; some in the same moment, or soon after another one, so that the one
    finds half of what the other does.
    """
    target = st.tuples(st.integers(0, nodes - 1), st.sampled_from(IDS))
    targets = st.lists(target, min_size=1, max_size=4, unique=True)
    moments = st.lists(TIMES, min_size=1, max_size=4)
    one = st.builds(
        Command,
        at=st.just(0.0),
        operator=st.integers(0, 1),
        verb=st.sampled_from(verbs),
        node=st.just(0),
        id=st.just(""),
        app=st.sampled_from(apps),
    )

    def timed(drawn: tuple[list[float], list[tuple[int, str]]]) -> st.SearchStrategy[Command]:
        together, whose = drawn
        soon = st.builds(lambda at, after: at + after, st.sampled_from(together), st.sampled_from(AFTER))
        return st.builds(
            lambda command, at, whose: replace(command, at=at, node=whose[0], id=whose[1]),
            one,
            st.one_of(soon, TIMES),
            st.sampled_from(whose),
        )

    return (
        st.tuples(moments, targets)
        .flatmap(lambda drawn: st.lists(timed(drawn), min_size=1, max_size=most))
        .map(lambda found: tuple(sorted(found, key=lambda each: each.at)))
    )


def windows(
    places: int,
    faults: tuple[StoreFault | RuntimeFault, ...] = (*STORE_FAULTS, *RUNTIME_FAULTS),
    *,
    most: int = 5,
) -> st.SearchStrategy[tuple[Window, ...]]:
    """Shares of calls that go wrong."""
    one = st.builds(
        Window,
        at=TIMES,
        seconds=st.sampled_from([2.0, 10.0, 40.0, 150.0]),
        # Rather nodes than operators, who come last.
        place=st.one_of(st.integers(0, max(0, places - 3)), st.integers(0, places - 1)),
        fault=st.sampled_from(faults),
        rate=st.sampled_from([0.05, 0.3, 1.0, 1.0]),
    )
    return st.lists(one, max_size=most).map(tuple)


def happenings(
    nodes: int, whats: tuple[What, ...] = EVERYTHING, *, most: int = 8
) -> st.SearchStrategy[tuple[Happening, ...]]:
    """What happens to the world."""
    one = st.builds(
        Happening,
        at=TIMES,
        what=st.sampled_from(whats),
        node=st.integers(0, nodes - 1),
        number=st.integers(0, 400),
    )
    return st.lists(one, max_size=most).map(tuple)


def partitions(nodes: int) -> st.SearchStrategy[tuple[Window, ...]]:
    """Trouble that never ends, for some of the nodes but not for the last of them."""
    one = st.builds(
        Window,
        at=TIMES,
        seconds=st.just(inf),
        place=st.integers(0, nodes - 2),
        fault=st.sampled_from(("cut", "cut", "deaf", "refused", "flapping", "slow", "away", "stop-hangs")),
        rate=st.sampled_from([0.5, 0.9, 1.0]),
    )
    return st.lists(one, min_size=1, max_size=4).map(tuple)


@st.composite
def scenarios(
    draw: st.DrawFn,
    *,
    whats: tuple[What, ...] = EVERYTHING,
    faults: tuple[StoreFault | RuntimeFault, ...] = (*STORE_FAULTS, *RUNTIME_FAULTS),
    steady: bool = False,
    apps: Sequence[str] | None = None,
    first: tuple[Command, ...] = (),
    certain: tuple[Happening, ...] = (),
    surely: tuple[Window, ...] = (),
    least_nodes: int = 1,
    most_nodes: int = 3,
    forever: bool = False,
    verbs: Sequence[Verb] = VERBS,
    reap: Sequence[float | None] = (None,),
) -> Scenario:
    """Whole runs.

    `steady`: only apps that run for ever; `apps`: only those. `first`, `certain` and `surely` are in each of the runs. `forever`:
    some nodes are partitioned for good.
    """
    deployed = apps or (STEADY if steady else tuple(CATALOGUE))
    nodes = draw(st.integers(least_nodes, most_nodes))
    happens = draw(happenings(nodes, whats)) if whats else ()
    if any(each.what in {"wiped", "swapped"} for each in happens):
        # A node that has lost its state while its store is not there cannot know where it belongs; that is not promised.
        happens = tuple(each for each in happens if each.what != "disk-lost")
    return Scenario(
        nodes,
        draw(schedules()),
        (*first, *draw(commands(nodes, apps=deployed, verbs=verbs))),
        (
            *surely,
            *(draw(windows(nodes + 2, faults)) if faults else ()),
            *(draw(partitions(nodes)) if forever else ()),
        ),
        (*certain, *happens),
        draw(st.sampled_from(reap)),
    )
