"""Moments, windows and selectors as people write them: what they mean, whatever the clocks do, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from roj.api.record import rfc3339
from roj.api.selector import Requirement, Selector, parse_selector
from roj.api.when import in_full, parse_when
from roj.api.window import DAYS, HORIZON, is_open, next_opening, parse_window

ZONES = st.sampled_from(
    [
        "UTC", "Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
        "America/St_Johns", "Africa/Casablanca",
    ]
).map(ZoneInfo)  # fmt: skip
MOMENTS = st.datetimes(datetime(2005, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))
CHANGES = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # Warsaw: 02:00 becomes 03:00
        datetime(2026, 10, 25, 1, 0, tzinfo=UTC),  # 03:00 becomes 02:00
        datetime(2026, 3, 8, 7, 0, tzinfo=UTC),  # New York
        datetime(2026, 11, 1, 6, 0, tzinfo=UTC),
        datetime(2026, 4, 4, 15, 0, tzinfo=UTC),  # Lord Howe: by half an hour
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        datetime(2011, 12, 30, 10, 0, tzinfo=UTC),  # Apia: a whole day is left out
    ]
)
NEAR_A_CHANGE = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes), CHANGES, st.integers(-3000, 3000)
)
NOWS = MOMENTS | NEAR_A_CHANGE
MINUTE = timedelta(minutes=1)

# --- moments ---


@given(NOWS, ZONES, st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_is_the_next_moment_at_which_a_clock_shows_it(
    now: datetime, zone: ZoneInfo, hours: int, minutes: int
) -> None:
    found = parse_when(f"{hours:02}:{minutes:02}", now, zone)
    shown = found.astimezone(zone)
    assert (shown.hour, shown.minute, shown.second, shown.microsecond) == (hours, minutes, 0, 0)
    assert found >= now
    before = -(-now.timestamp() // 60) * 60
    while before < found.timestamp():  # no clock shows it before, to the minute
        earlier = datetime.fromtimestamp(before, zone)
        assert (earlier.hour, earlier.minute) != (hours, minutes)
        before += 60 * 15 if (found.timestamp() - before) % 900 == 0 else 60
    assert found - now <= timedelta(days=3)


@given(MOMENTS, MOMENTS, ZONES)
def test_what_is_said_in_full_is_read_back(now: datetime, moment: datetime, zone: ZoneInfo) -> None:
    moment = moment.replace(microsecond=0)
    assume(moment >= now)
    assert parse_when(in_full(moment, zone), now, zone) == moment
    assert parse_when(rfc3339(moment), now, zone) == moment


@given(MOMENTS, ZONES, st.integers(0, 1_000_000))
def test_a_delay_counts_from_now(now: datetime, zone: ZoneInfo, seconds: int) -> None:
    found = parse_when(f"+{seconds}s", now, zone)
    assert timedelta(0) <= now + timedelta(seconds=seconds) - found < timedelta(milliseconds=1)
    assert datetime.fromisoformat(rfc3339(found)) == found, "it is stored as it is said"


NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def test_this_machines_own_zone_is_meant_unless_another_is_named() -> None:
    here = parse_when("02:30", NOW).astimezone()
    assert (here.hour, here.minute) == (2, 30)
    assert datetime.fromisoformat(in_full(here)) == here


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no time"),
        ("tomorrow", "write it as 2026-11-22T02:00:00Z, as 02:00 or as +10m"),
        ("24:00", "no time of day"),
        ("12:60", "no time of day"),
        ("12:3", "is no time"),
        ("+", "no duration"),
        ("+10", ""),
        ("+10x", "no duration"),
        ("+99999d", "too long"),
        ("-10m", "is no time"),
        ("2026-11-23T02:00:00", "does not say in which time zone"),
        ("2026-02-30T02:00:00Z", "there is no such day"),
        ("2026-11-23T25:00:00Z", "there is no such day"),
        ("2026-11-22T07:59:59Z", "has passed: it is 2026-11-22T09:00:00+01:00 now"),
        ("9999-12-31T23:59:59-23:59", "is no time"),
        ("٢٠:٣٠", "is no time"),
    ],
)
def test_what_is_no_moment_is_refused_in_words(text: str, words: str) -> None:
    if not words:
        assert parse_when(text, NOW) == NOW + timedelta(seconds=10)
        return
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        parse_when(text, NOW, ZoneInfo("Europe/Warsaw"))


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        assert parse_when(text, NOW) >= NOW - MINUTE
    except ValueError as problem:
        assert str(problem)


# --- windows ---

TIMES = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda pair: f"{pair[0]:02}:{pair[1]:02}")


@st.composite
def windows(draw: st.DrawFn) -> str:
    first = draw(st.sampled_from(DAYS)).capitalize()
    days = draw(st.sampled_from(["daily", first, f"{first}-{draw(st.sampled_from(DAYS))}", f"{first},Sun"]))
    return f"{days} {draw(TIMES)}-{draw(TIMES)} {draw(ZONES).key}"


@given(windows(), NOWS)
def test_a_window_opens_when_it_says_that_it_does(text: str, now: datetime) -> None:
    opening = next_opening([text], now)
    assert opening is not None
    assert now <= opening <= now + HORIZON
    assert is_open([text], opening)
    assert is_open([text], now) == (opening == now)
    if opening > now:
        for part in range(1, 20):
            assert not is_open([text], now + (opening - now) * part / 20)
        window = parse_window(text)
        begin = opening.astimezone(window.zone)
        ordinary = all(
            begin.utcoffset() == (begin + timedelta(hours=hours)).astimezone(window.zone).utcoffset()
            for hours in (-26, -4, 4)
        )
        if ordinary:
            assert begin.timetz().replace(tzinfo=None) == window.start
            assert begin.weekday() in window.days


@given(windows(), MOMENTS)
def test_where_the_clocks_run_evenly_a_window_is_what_a_clock_on_the_wall_shows(
    text: str, moment: datetime
) -> None:
    window = parse_window(text)
    here = moment.astimezone(window.zone)
    even = [
        (moment + timedelta(hours=hours)).astimezone(window.zone).utcoffset() for hours in range(-50, 51, 10)
    ]
    assume(len({str(offset) for offset in even}) == 1)
    wall, today, yesterday = here.time(), here.weekday(), (here.weekday() - 1) % 7
    if window.end > window.start:
        expected = today in window.days and window.start <= wall < window.end
    else:  # over midnight
        expected = (today in window.days and wall >= window.start) or (
            yesterday in window.days and wall < window.end
        )
    assert window.is_open(moment) == expected


@pytest.mark.parametrize(
    ("text", "when", "opened"),
    [
        # 02:00 to 03:00 is not there on 29 March: a window around it is an hour shorter, one within it is after it.
        ("Sun 01:30-04:00 Europe/Warsaw", "2026-03-29T00:30:00Z", True),
        ("Sun 01:30-04:00 Europe/Warsaw", "2026-03-29T01:59:59Z", True),
        ("Sun 01:30-04:00 Europe/Warsaw", "2026-03-29T02:00:00Z", False),
        ("Sun 02:10-02:50 Europe/Warsaw", "2026-03-29T01:10:00Z", True),
        ("Sun 02:10-02:50 Europe/Warsaw", "2026-03-29T01:50:00Z", False),
        ("Sun 02:30-03:00 Europe/Warsaw", "2026-03-29T01:30:00Z", False),
        # 02:00 to 03:00 is there twice on 25 October.
        ("Sun 01:30-04:00 Europe/Warsaw", "2026-10-24T23:30:00Z", True),
        ("Sun 01:30-04:00 Europe/Warsaw", "2026-10-25T02:59:59Z", True),
        ("Sun 02:10-02:50 Europe/Warsaw", "2026-10-25T00:10:00Z", True),
        ("Sun 02:10-02:50 Europe/Warsaw", "2026-10-25T01:10:00Z", False),
        ("Sat 22:00-04:00 Europe/Warsaw", "2026-10-25T02:30:00Z", True),
        ("Sat 22:00-04:00", "2026-11-21T22:00:00Z", True),
        ("Sat 22:00-04:00", "2026-11-22T03:59:59Z", True),
        ("Sat 22:00-04:00", "2026-11-22T04:00:00Z", False),
        ("Sat 22:00-04:00", "2026-11-21T03:00:00Z", False),
        ("Sat 00:00-24:00", "2026-11-21T23:59:59Z", True),
        ("Sat 00:00-24:00", "2026-11-22T00:00:00Z", False),
        ("Fri-Mon 03:00-04:00", "2026-11-22T03:30:00Z", True),
        ("Fri-Mon 03:00-04:00", "2026-11-24T03:30:00Z", False),
    ],
)
def test_windows_and_the_clocks(text: str, when: str, opened: bool) -> None:
    assert is_open([text], datetime.fromisoformat(when)) is opened


def test_a_window_that_a_change_of_the_clocks_takes_away_is_that_of_the_week_after() -> None:
    before = datetime(2026, 3, 23, tzinfo=UTC)
    assert next_opening(["Sun 02:30-03:00 Europe/Warsaw"], before) == datetime(2026, 4, 5, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no window: write it as"),
        ("Sat", "is no window"),
        ("Sat 02:00", "is no window"),
        ("Someday 02:00-04:00", "someday is no day of the week"),
        ("Mon-Someday 02:00-04:00", "is no day of the week"),
        ("Sat 25:00-04:00", "25:00 is no time of day"),
        ("Sat 02:00-04:61", "04:61 is no time of day"),
        ("Sat 24:00-04:00", "24:00 is no time of day at which a window begins"),
        ("Sat 02:00-04:00 Europe/Atlantis", "Europe/Atlantis is not known on this machine"),
        ("Sat 02:00-04:00 ../../etc/passwd", "is not known on this machine"),
        ("Sat 02:00-04:00 Europe", "is not known on this machine"),
        ("Sat 02:00-04:00 UTC now", "is no window"),
    ],
)
def test_what_is_no_window_is_refused_in_words_and_never_open(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_window(text)
    assert not is_open([text], NOW)
    assert next_opening([text], NOW) is None


@given(st.text(max_size=40))
def test_any_text_is_a_window_or_refused(text: str) -> None:
    try:
        parse_window(text)
    except ValueError as problem:
        assert str(problem)


# --- selectors ---

KEYS = st.sampled_from(["role", "zone", "in", "notin", "example.com/disk"])
VALUES = st.sampled_from(["", "web", "a", "in", "10.0.0.1:80", "a/b"])
LABELS = st.dictionaries(KEYS, VALUES)
BLANKS = st.sampled_from(["", " ", "  "])


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(["in", "notin", "exists", "absent"]))
    values = (
        draw(st.lists(VALUES, min_size=1, max_size=3, unique=True)) if operator in ("in", "notin") else []
    )
    return Requirement(draw(KEYS), operator, tuple(values))  # type: ignore[arg-type]  # of the four words


SELECTORS = st.lists(requirements(), min_size=1, max_size=4).map(lambda parts: Selector(tuple(parts)))


@given(SELECTORS)
def test_a_selector_is_read_back_as_it_is_shown(selector: Selector) -> None:
    assert parse_selector(str(selector)) == selector


@given(SELECTORS, SELECTORS, LABELS)
def test_two_selectors_joined_mean_what_both_mean(a: Selector, b: Selector, labels: dict[str, str]) -> None:
    both = parse_selector(f"{a},{b}")
    assert both.matches(labels) == (a.matches(labels) and b.matches(labels))


@given(LABELS, KEYS, VALUES, VALUES, BLANKS)
def test_what_the_operators_mean(labels: dict[str, str], key: str, x: str, y: str, blank: str) -> None:
    def holds(text: str) -> bool:
        return parse_selector(text).matches(labels)

    there = key in labels
    assert holds(f"{key}{blank}={blank}{x}") == holds(f"{key}=={x}") == (there and labels[key] == x)
    assert holds(f"{key}{blank}!={blank}{x}") == (there and labels[key] != x)
    assert holds(f"{key} in{blank}({x},{blank}{y})") == (there and labels[key] in (x, y))
    assert holds(f"{key} notin{blank}({x}{blank},{y})") == (there and labels[key] not in (x, y))
    assert holds(f"{blank}{key}{blank}") == there
    assert holds(f"!{blank}{key}") == (not there)


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", ",", "a,", ",a", "a=b,,c", "a=b=c", "=b", "!=b", "a in", "a in b", "a in (b", "a in b)", "a in (b,(c))",
        "!a=b", "!a in (b)", "a !b", "a b", "-a=b", "a=b c", "a notin", "a>b", "!", "!!a", "a in (b)(c)", "ä=b",
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it as role=web|is no key of a label"):
        parse_selector(text)


@given(st.text("ab =!,()in", max_size=30), LABELS)
def test_any_text_is_a_selector_or_refused(text: str, labels: dict[str, str]) -> None:
    try:
        selector = parse_selector(text)
    except ValueError as problem:
        assert str(problem)
        return
    assert parse_selector(str(selector)) == selector
    assert parse_selector(str(selector)).matches(labels) == selector.matches(labels)
