"""The retry table and the backoff."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from roj.framework.backoff import Backoff
from roj.framework.errors import PermanentError, TemporaryError
from roj.framework.retry import NONE, QUIET_CONFLICTS, History, decide
from roj.store.interface import Conflict, StoreUnavailable

HISTORIES = st.builds(History, failures=st.integers(0, 50), conflicts=st.integers(0, 10))
BACKOFF = Backoff(first=0.5, longest=60.0)
ERRORS = st.sampled_from([ValueError("x"), StoreUnavailable("x"), KeyError("x"), ZeroDivisionError()])


@given(st.floats(0.001, 10.0), st.floats(1.0, 1000.0), st.integers(0, 100_000), st.integers(0))
def test_a_delay_is_within_its_bounds(first: float, longest: float, failures: int, seed: int) -> None:
    backoff = Backoff(first=first, longest=longest)
    delay = backoff.delay(failures, Random(seed))
    assert 0.0 <= delay <= backoff.ceiling(failures) <= max(first, longest)
    if failures:
        assert backoff.ceiling(failures) == min(longest, first * 2.0 ** min(failures - 1, 200))


def test_the_jitter_is_full_and_the_same_for_the_same_seed() -> None:
    delays = [BACKOFF.delay(8, Random(seed)) for seed in range(500)]
    assert delays == [BACKOFF.delay(8, Random(seed)) for seed in range(500)]
    assert min(delays) < 6.0 and max(delays) > 54.0
    assert 25.0 < sum(delays) / len(delays) < 35.0


@given(HISTORIES, ERRORS, st.integers(0))
def test_an_error_backs_off_and_is_counted(history: History, error: Exception, seed: int) -> None:
    decision = decide(error, history, BACKOFF, Random(seed))
    assert decision.result == "error"
    assert decision.history.failures == history.failures + 1
    assert decision.after is not None and 0.0 <= decision.after <= BACKOFF.ceiling(history.failures + 1)


@given(HISTORIES, st.none() | st.floats(0.0, 1e6))
def test_whatever_went_well_forgets_the_failures(history: History, outcome: float | None) -> None:
    decision = decide(outcome, history, BACKOFF, Random(0))
    assert decision.history == NONE
    assert decision.after == outcome


@given(HISTORIES, st.floats(0.0, 1e6))
def test_a_temporary_error_waits_as_long_as_it_says_and_counts_nothing(
    history: History, delay: float
) -> None:
    decision = decide(TemporaryError("not yet", delay), history, BACKOFF, Random(0))
    assert (decision.result, decision.after, decision.history) == ("temporary", delay, history)


@given(HISTORIES)
def test_a_permanent_error_waits_for_news(history: History) -> None:
    decision = decide(PermanentError("never"), history, BACKOFF, Random(0))
    assert (decision.result, decision.after, decision.history) == ("permanent", None, NONE)


def test_a_few_conflicts_are_quiet_and_immediate_and_then_they_back_off() -> None:
    history = NONE
    for _ in range(QUIET_CONFLICTS):
        decision = decide(Conflict("lost"), history, BACKOFF, Random(0))
        assert (decision.result, decision.after, decision.history.failures) == ("conflict", 0.0, 0)
        history = decision.history
    for failures in (1, 2, 3):
        decision = decide(Conflict("lost"), history, BACKOFF, Random(0))
        assert (decision.result, decision.history.failures) == ("error", failures)
        history = decision.history
    assert decide(None, history, BACKOFF, Random(0)).history == NONE
