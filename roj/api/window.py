"""Maintenance windows: `Sat 02:00-04:00 Europe/Warsaw`, `Mon-Fri 22:00-05:00`, `daily 03:00-04:00`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from roj.api.faults import quoted

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(r"(?P<days>\S+) +(?P<start>\d\d?:\d\d)-(?P<end>\d\d?:\d\d)(?: +(?P<zone>\S+))?", re.ASCII)
_WRITE = "write it as `Sat 02:00-04:00 Europe/Warsaw`, with days as Mon, Mon-Fri, Sat,Sun or daily"
HORIZON = timedelta(days=16)
"""A window of every week opens within, a change of the clocks included."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week. One that ends before it begins, or when it begins, goes over midnight."""

    days: tuple[int, ...]
    """On which it begins, Monday is 0."""
    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, moment: datetime) -> bool:
        """Whether `moment` is in it; its end is not."""
        return any(begin <= moment < end for begin, end in self._openings(moment))

    def next_opening(self, moment: datetime) -> datetime:
        """When it opens next after `moment`, in UTC; `moment` itself where it is open."""
        if self.is_open(moment):
            return moment
        return min(begin for begin, _ in self._openings(moment) if begin > moment)

    def _openings(self, moment: datetime) -> Iterable[tuple[datetime, datetime]]:
        """Those that begin from the day before `moment` until HORIZON after it, in UTC."""
        local = moment.astimezone(self.zone).date() - timedelta(days=1)
        for number in range(HORIZON.days):
            day = local + timedelta(days=number)
            if day.weekday() not in self.days:
                continue
            last = day if self.end > self.start else day + timedelta(days=1)
            begin = datetime.combine(day, self.start, self.zone).astimezone(UTC)
            end = datetime.combine(last, self.end, self.zone).astimezone(UTC)
            if begin < end:  # else the clocks took it away
                yield begin, end


def parse_window(text: str) -> Window:
    """The window that `text` writes.

    Raises:
        ValueError: it is none, or its zone is not known on this machine.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{quoted(text)} is no window: {_WRITE}")
    zone = form["zone"] or "UTC"
    try:
        known = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{quoted(text)}: the time zone {zone} is not known on this machine "
            "(install tzdata, or write the window in UTC)"
        ) from None
    if form["start"] == "24:00":
        raise ValueError(
            f"{quoted(text)}: 24:00 is no time of day at which a window begins: name the day after, 00:00"
        )
    return Window(_days(form["days"], text), _time(form["start"], text), _time(form["end"], text), known)


def is_open(windows: Iterable[str], moment: datetime) -> bool:
    """Whether one of `windows` is open. One that cannot be read never is."""
    return any(window.is_open(moment) for window in _readable(windows))


def next_opening(windows: Iterable[str], moment: datetime) -> datetime | None:
    """When the first of them opens; None: none can be read."""
    return min((window.next_opening(moment) for window in _readable(windows)), default=None)


def _readable(windows: Iterable[str]) -> Iterable[Window]:
    for text in windows:
        try:
            yield parse_window(text)
        except ValueError:
            continue


def _days(text: str, whole: str) -> tuple[int, ...]:
    if text.lower() == "daily":
        return tuple(range(7))
    found: dict[int, None] = {}
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{quoted(whole)}: {part} is no day of the week: {_WRITE}")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        for number in range((end - begin) % 7 + 1):
            found[(begin + number) % 7] = None
    return tuple(sorted(found))


def _time(text: str, whole: str) -> time:
    hours, minutes = map(int, text.split(":"))
    if hours == 24 and minutes == 0:
        return time(0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"{quoted(whole)}: {text} is no time of day: {_WRITE}")
    return time(hours, minutes)
