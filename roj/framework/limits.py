"""Token buckets: how often something may be done, in a burst and in the long run."""

from __future__ import annotations

from roj.environment import Environment


class TokenBucket:
    """Up to `burst` at once, and `rate` a second in the long run. Not safe to share; see `Limiter`.

    Pure: it is told the time.
    """

    def __init__(self, rate: float, burst: int) -> None:
        """A full bucket.

        Args:
            rate: tokens that come back each second.
            burst: tokens that it holds.
        """
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take a token; False if there is none. `now`: seconds on a clock that does not go back."""
        if self.until(now) > 0.0:
            return False
        self._tokens -= 1.0
        return True

    def until(self, now: float) -> float:
        """Seconds until there is a token; 0: there is one."""
        self._fill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def full(self, now: float) -> bool:
        """Whether nothing would be forgotten if the bucket were thrown away."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now


class Limiter:
    """A token bucket that several threads share, and wait for: of calls to Docker, a registry, the store."""

    def __init__(self, environment: Environment, rate: float, burst: int) -> None:
        """As of `TokenBucket`."""
        self._environment = environment
        self._lock = environment.lock()
        self._bucket = TokenBucket(rate, burst)

    def wait(self) -> None:
        """Take a token, as soon as there is one."""
        while True:
            with self._lock:
                now = self._environment.monotonic()
                if self._bucket.take(now):
                    return
                delay = self._bucket.until(now)
            self._environment.sleep(delay)
