"""The machine's clock in words: in steps, worse at once, better only when it lasts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from roj.agent.clock import LASTS, STEPS, Clock, Reading, read_kernel
from tests.unit.framework.still import Still


class Kernel:
    """What a test has the kernel say."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.still = Still(0)
        self.clock = Clock(self.still, lambda: self.reading)

    def says(self, error: float | None, *, after: float = 30.0) -> str:
        """What is told once the kernel says so; None: that it is not synchronised."""
        self.still.sleep(after)
        self.reading = Reading(error is not None, error if error is not None else 16.0)
        return self.clock()


def test_the_kernel_of_this_machine_is_asked() -> None:
    reading = read_kernel()
    assert reading is None or reading.error >= 0


def test_steps() -> None:
    for error, words in (
        (0.0005, "1ms"), (0.001, "1ms"), (0.0011, "10ms"), (0.09, "100ms"), (0.9, "1s"), (10.0, "10s")
    ):  # fmt: skip
        assert Kernel().says(error) == f"synchronised, within {words}"
    assert Kernel().says(10.1) == "synchronised, beyond 10s"
    assert Kernel().says(None) == "not synchronised"
    assert Kernel().clock() == "", "the kernel does not say"


def test_a_clock_that_is_set_after_the_boot_is_told_at_once() -> None:
    kernel = Kernel()
    assert kernel.clock() == ""
    assert kernel.says(None) == "not synchronised"
    assert kernel.says(0.02) == "synchronised, within 100ms"
    assert kernel.says(None) == "not synchronised"


@given(st.floats(0.0005, 0.05), st.integers(64, 4096))
def test_the_saw_tooth_of_a_time_server_is_not_reported(least: float, every: int) -> None:
    kernel = Kernel()
    told = [kernel.says(least + 0.0005 * (second % every), after=30.0) for second in range(0, 20 * every, 30)]
    changes = sum(1 for one, other in pairwise(told) if one != other)
    assert changes <= len(STEPS), "as it grows for the first time"


def test_what_is_better_for_good_is_told_after_a_while() -> None:
    kernel = Kernel()
    assert kernel.says(0.5) == "synchronised, within 1s"
    assert kernel.says(0.0005) == "synchronised, within 1s"
    assert kernel.says(0.005, after=LASTS / 2) == "synchronised, within 1s"
    assert kernel.says(0.0005, after=LASTS / 2) == "synchronised, within 10ms", "the worst since"
