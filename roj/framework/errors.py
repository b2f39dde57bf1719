"""What a handler may raise to say more than "it failed".

Any other exception is a failure like any other: logged with its traceback and tried again with backoff. The whole
policy is one table: `roj.framework.retry`.
"""

from __future__ import annotations


class TemporaryError(Exception):
    """It cannot be done yet, and the handler knows when to look again. Logged without a traceback."""

    def __init__(self, message: str, delay: float) -> None:
        """`delay`: seconds until the key is looked at again, unless news come first."""
        super().__init__(message)
        self.delay = delay


class PermanentError(Exception):
    """It will not get better by itself: the key is dropped until there is news of it."""
