"""Moments as people write them: `2026-11-22T02:00:00+01:00`, `02:00` (the next one here), `+10m`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from roj.api.duration import parse_duration
from roj.api.faults import quoted

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?P<offset>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d?):(\d\d)", re.ASCII)
_WRITE = "write it as 2026-11-22T02:00:00Z, as 02:00 or as +10m"
_DAYS = 4
"""Days that are looked through for a time of day: the clocks may skip it on one of them, or skip a whole day."""


def parse_when(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """The moment that `text` writes, in UTC, to the millisecond as records have it.

    A time of day is the next moment, from `now` on, at which a clock of the zone shows it: one that the clocks skip when
    they are put forward is that of the day after, one that they show twice the first that lies ahead.

    Args:
        now: with its offset.
        zone: where times of day are meant; None: where this machine is.

    Raises:
        ValueError: it is none, or has passed.
    """
    if text.startswith("+"):
        try:
            return _stored(now + timedelta(seconds=parse_duration(text[1:])))
        except OverflowError:
            raise ValueError(f"{quoted(text)} is too long") from None
        except ValueError as problem:
            raise ValueError(f"{quoted(text)} is no time: {problem}") from None
    if (found := _TIME.fullmatch(text)) is not None:
        return _next(int(found[1]), int(found[2]), text, now, zone)
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no time: {_WRITE}")
    if found["offset"] is None:
        raise ValueError(
            f"{quoted(text)} does not say in which time zone: add Z for UTC, or an offset as +01:00"
        )
    try:
        moment = datetime.fromisoformat(
            f"{found['day']}T{found['time']}{found['offset'].upper()}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{quoted(text)} is no time: there is no such day or time of day") from None
    if moment < now:
        raise ValueError(f"{quoted(text)} has passed: it is {in_full(now, zone)} now")
    return _stored(moment)


def in_full(moment: datetime, zone: tzinfo | None = None) -> str:
    """`2026-11-22T02:00:00+01:00`, by the clocks of the zone (None: where this machine is); `parse_when` reads it."""
    return moment.astimezone(zone).isoformat(timespec="seconds")


def _next(hours: int, minutes: int, text: str, now: datetime, zone: tzinfo | None) -> datetime:
    if hours > 23 or minutes > 59:
        raise ValueError(f"{quoted(text)} is no time of day: 00:00 to 23:59")
    today = now.astimezone(zone).date()
    found = []
    for number in range(_DAYS):
        shown = datetime.combine(today + timedelta(days=number), time(hours, minutes))
        for fold in (0, 1):
            moment = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            if moment >= now and moment.astimezone(zone).replace(tzinfo=None, fold=0) == shown:
                found.append(moment)
    return min(found)


def _stored(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
