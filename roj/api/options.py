"""How a container is run: limits, the way it stops, its output. Each field names its option of `docker run`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from roj.api.duration import Duration
from roj.api.faults import quoted
from roj.api.record import Part
from roj.api.size import Size

SIGNALS = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
)  # fmt: skip
LEAST_MEMORY = 6 * 1024**2
"""Docker refuses less (`docker run --memory`)."""
_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
_CPUSET = re.compile(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*", re.ASCII)
_ULIMIT = re.compile(r"(-1|[0-9]{1,19})(?::(-1|[0-9]{1,19}))?", re.ASCII)


def _signal(value: object) -> object:
    if isinstance(value, str):
        name = value.upper().removeprefix("SIG")
        if name in SIGNALS or re.fullmatch(r"RTMIN(\+[0-9]{1,2})?|RTMAX(-[0-9]{1,2})?", name):
            return name
        raise ValueError(f"{quoted(value)} is no signal: write TERM, INT, QUIT or another one's name")
    return value


class Stop(Part):
    """How a container is asked to stop."""

    signal: Annotated[str, BeforeValidator(_signal)] | None = None
    """`--stop-signal`, as `TERM`; absent: the image's own, else TERM."""
    grace: Annotated[Duration, Field(ge=0, le=3600)] = 10.0
    """Seconds until it is killed (`--stop-timeout`; Docker has whole seconds: rounded up)."""


class Ulimit(Part):
    """A limit of the kernel for each process; -1 is none. Written as `SOFT:HARD`, or one number for both."""

    soft: int = Field(ge=-1)
    """What holds until the process raises it."""
    hard: int = Field(ge=-1)
    """How far it may."""


def _ulimit(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"soft": value, "hard": value}
    if isinstance(value, str):
        form = _ULIMIT.fullmatch(value)
        if form is None:
            raise ValueError(
                f"{quoted(value)} is no limit: write SOFT:HARD, or one number for both; -1 is none"
            )
        return {"soft": int(form[1]), "hard": int(form[2] or form[1])}
    return value


def _written_ulimit(limit: Ulimit) -> str:
    return f"{limit.soft}" if limit.soft == limit.hard else f"{limit.soft}:{limit.hard}"


Ulimits = dict[
    str,
    Annotated[
        Ulimit,
        BeforeValidator(_ulimit),
        PlainSerializer(_written_ulimit, return_type=str, when_used="json"),
        WithJsonSchema({"type": ["string", "integer"], "examples": ["1024:4096", 1024]}),
    ],
]


def _check_ulimits(limits: Ulimits) -> Ulimits:
    wrong = [name for name in limits if name not in _ULIMITS]
    if wrong:
        raise ValueError(f"{', '.join(map(quoted, wrong))}: write one of {', '.join(_ULIMITS)}")
    return limits


def _check_cpuset(text: str) -> str:
    if not _CPUSET.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no set of processors: write it as 0-2,5")
    return text


def _check_memory(size: int) -> int:
    if size < LEAST_MEMORY:
        raise ValueError("is less than 6MiB, which is the least that Docker takes")
    return size


class Resources(Part):
    """What a container may use; what is left out has no limit."""

    memory: Annotated[Size, AfterValidator(_check_memory)] | None = None
    """Bytes (`--memory`)."""
    memory_swap: Annotated[Size, Field(ge=-1)] | None = None
    """Bytes of memory and swap together, -1 for any swap (`--memory-swap`). With `memory` alone Docker allows as much
    swap again."""
    cpus: Annotated[float, Field(ge=0.01, le=4096)] | None = None
    """Processors' worth of time, as 0.5 (`--cpus`)."""
    cpu_shares: Annotated[int, Field(ge=2, le=262144)] | None = None
    """Weight against others where processors are short; 1024 is what others have (`--cpu-shares`)."""
    cpuset: Annotated[str, AfterValidator(_check_cpuset)] | None = None
    """Which processors, as `0-2,5` (`--cpuset-cpus`)."""
    pids: Annotated[int, Field(ge=1, le=4194304)] | None = None
    """Processes and threads (`--pids-limit`)."""
    shm: Annotated[Size, Field(ge=1)] | None = None
    """Bytes of /dev/shm; Docker's default is 64MiB (`--shm-size`)."""
    ulimits: Annotated[Ulimits, AfterValidator(_check_ulimits)] = Field(default_factory=dict)
    """By name, as `nofile: 1024:4096` (`--ulimit`)."""


class Logging(Part):
    """Where the output goes (`--log-driver`, `--log-opt`). By default files of 10 MB, three of them, on the node."""

    driver: Annotated[str, Field(min_length=1, max_length=100)] = "json-file"
    """A driver of the node's Docker."""
    options: dict[str, str] = Field(default_factory=lambda: {"max-size": "10m", "max-file": "3"})
    """Of the driver."""


PullPolicy = Literal["missing", "never"]
"""Whether an image that is not on the node is pulled (`--pull`)."""
