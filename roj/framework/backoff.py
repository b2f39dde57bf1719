"""How long to wait before the next try: exponential, with full jitter and a cap.

    Backoff(first=0.5, longest=60.0).delay(failures, random)

The n-th delay is anywhere between 0 and `first * 2 ** (n - 1)`, at most `longest`. Full jitter spreads those who failed
together (a store's outage) evenly, where a fixed delay would bring them all back at once; the price is that a single
delay may be short.
"""

from __future__ import annotations

from tenacity import RetryCallState, Retrying, wait_exponential

from roj.environment import Random

_NOBODY = Retrying()  # a state belongs to a retrying; the strategy asks it only for the attempt's number


class Backoff:
    """A rule for delays; it has no memory, so one serves many keys."""

    def __init__(self, *, first: float = 0.5, longest: float = 60.0) -> None:
        """Make the rule.

        Args:
            first: the longest delay after one failure, in seconds.
            longest: no delay is longer, in seconds.
        """
        self.first = first
        self.longest = longest
        self._ceiling = wait_exponential(multiplier=first, max=longest)

    def ceiling(self, failures: int) -> float:
        """The longest delay after so many failures in a row, in seconds; 0 after none."""
        if failures < 1:
            return 0.0
        attempt = RetryCallState(_NOBODY, None, (), {})
        attempt.attempt_number = failures
        return self._ceiling(attempt)

    def delay(self, failures: int, random: Random) -> float:
        """Seconds to wait after so many failures in a row.

        The jitter is ours, not tenacity's: that one draws from the process's random numbers, which no test can seed.
        """
        return random.uniform(0.0, self.ceiling(failures))
