"""A run as a value: what operators do, what goes wrong, and who goes on when. Hypothesis draws and shrinks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hypothesis import strategies as st

from tests.property.simulation.operators import CATALOGUE, STEADY, Verb
from tests.property.simulation.runtime_faults import RUNTIME_FAULTS, RuntimeFault
from tests.property.simulation.schedule import Schedule
from tests.property.simulation.store_faults import STORE_FAULTS, StoreFault

What = Literal[
    # the agent
    "crash", "crash-soon", "pause", "clock-jump", "stop-start",
    # its disk
    "disk-full", "disk-damaged", "disk-lost",
    # the machine and its Docker
    "boot", "daemon-killed", "daemon-restarted", "container-crashes", "container-stopped", "container-removed",
    "container-paused", "image-removed", "registry-down", "disk-pressure", "stranger",
    # the store
    "session-lost", "tombstones-reaped", "restored", "restored-fresh", "wiped", "swapped", "record-garbled",
]  # fmt: skip
EVERYTHING: tuple[What, ...] = get_args(What)
REWINDS: tuple[What, ...] = ("restored", "restored-fresh", "wiped", "swapped")
"""What sets the store back, so that acknowledged writes may be gone."""
IDS = ("a", "b", "c")


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

    def line(self) -> str:
        """The one line that replays it."""
        return f"play({self!r})"


TROUBLE = 150.0
"""Seconds within which everything that goes wrong begins."""
TIMES = st.floats(4.0, TROUBLE, allow_nan=False, width=32).map(lambda time: round(time, 1))


def schedules() -> st.SearchStrategy[Schedule]:
    """Seeds, and how restless the scheduler is."""
    return st.builds(
        Schedule,
        seed=st.integers(0, 2**32),
        density=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
        stalls=st.sampled_from([0.0, 0.002, 0.01]),
    )


def commands(nodes: int, *, steady: bool = False, most: int = 10) -> st.SearchStrategy[tuple[Command, ...]]:
    """What operators do, in order of time; `steady`: only apps that run for ever."""
    one = st.builds(
        Command,
        at=TIMES,
        operator=st.integers(0, 1),
        verb=st.sampled_from(
            ["deploy", "deploy", "deploy", "upgrade", "start", "stop", "undeploy", "adopt", "remove-app"]
        ),
        node=st.integers(0, nodes - 1),
        id=st.sampled_from(IDS),
        app=st.sampled_from(STEADY if steady else tuple(CATALOGUE)),
    )
    return st.lists(one, min_size=1, max_size=most).map(
        lambda found: tuple(sorted(found, key=lambda each: each.at))
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
        place=st.integers(0, places - 1),
        fault=st.sampled_from(faults),
        rate=st.sampled_from([0.05, 0.3, 1.0]),
    )
    return st.lists(one, max_size=most).map(tuple)


def happenings(
    nodes: int, whats: tuple[What, ...] = EVERYTHING, *, most: int = 6
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


@st.composite
def scenarios(
    draw: st.DrawFn,
    *,
    whats: tuple[What, ...] = EVERYTHING,
    faults: tuple[StoreFault | RuntimeFault, ...] = (*STORE_FAULTS, *RUNTIME_FAULTS),
    steady: bool = False,
    first: tuple[Command, ...] = (),
    certain: tuple[Happening, ...] = (),
    least_nodes: int = 1,
    most_nodes: int = 3,
) -> Scenario:
    """Whole runs; `first` and `certain` are in each of them."""
    nodes = draw(st.integers(least_nodes, most_nodes))
    happens = draw(happenings(nodes, whats)) if whats else ()
    if any(each.what in {"wiped", "swapped"} for each in happens):
        # A node that has lost its state while its store is not there cannot know where it belongs; that is not promised.
        happens = tuple(each for each in happens if each.what != "disk-lost")
    return Scenario(
        nodes,
        draw(schedules()),
        (*first, *draw(commands(nodes, steady=steady))),
        draw(windows(nodes + 2, faults)) if faults else (),
        (*certain, *happens),
    )
