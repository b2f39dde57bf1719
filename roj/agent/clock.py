"""How far the machine's clock may be wrong, as its kernel says (`adjtimex`): an order with `--at` goes by it.

The kernel's bound grows by 0.5 ms a second until the next answer of a time server. So that an idle node does not report
that saw-tooth, it is told in steps, and a better one only after it has lasted.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from roj.api.duration import format_duration
from roj.environment import Environment

STEPS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Seconds."""
LASTS = 3 * 3600.0
"""Seconds that a better step lasts before it is told: time servers are asked every 34 minutes or so (NTP: 2048 s), some
less often."""
UNKNOWN = "not synchronised"
_STA_UNSYNC = 0x40
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel says."""

    synchronised: bool
    error: float
    """The most that the clock is off, in seconds; means nothing where it is not synchronised."""


class _Timex(ctypes.Structure):
    """`struct timex` of Linux, as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def read_kernel() -> Reading | None:
    """What the kernel says of the clock now; None where it does not (another system, or a sandbox)."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex()  # modes 0: nothing is set
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    wrong = state == _TIME_ERROR or bool(timex.status & _STA_UNSYNC)
    return Reading(not wrong, timex.maxerror / 1e6)


class Clock:
    """The clock in words, for the node's status. For one thread."""

    def __init__(self, environment: Environment, read: Callable[[], Reading | None] = read_kernel) -> None:
        self._environment = environment
        self._read = read
        self._told: str | None = None
        self._better: tuple[int, float] | None = None
        """The worst step since it was better than what is told, and since when."""

    def __call__(self) -> str:
        """`synchronised, within 10ms`, or `not synchronised`; empty: the kernel does not say."""
        reading = self._read()
        if reading is None:
            return self._tell("")
        rank = _rank(reading)
        if self._told in (None, "", UNKNOWN) or rank >= _RANKS[self._told]:
            return self._tell(_WORDS[rank])
        now = self._environment.monotonic()
        worst, since = self._better if self._better is not None else (rank, now)
        self._better = (max(worst, rank), since)
        if now - since < LASTS:
            return self._told
        return self._tell(_WORDS[self._better[0]])

    def _tell(self, words: str) -> str:
        self._told, self._better = words, None
        return words


_WORDS = (
    *(f"synchronised, within {format_duration(step)}" for step in STEPS),
    "synchronised, beyond 10s",
    UNKNOWN,
)
"""From the best to the worst."""
_RANKS = {words: rank for rank, words in enumerate(_WORDS)}


def _rank(reading: Reading) -> int:
    if not reading.synchronised:
        return len(_WORDS) - 1
    return next((rank for rank, step in enumerate(STEPS) if reading.error <= step), len(STEPS))
