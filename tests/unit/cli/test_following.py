"""`roj events -f`: what is there, then what comes, until Ctrl-C, and across a store that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import cast

import pytest

from roj.api import keys
from roj.client.event_view import FOLLOW_RETRY, follow
from roj.environment import RealEnvironment
from roj.store.interface import Entry, Listing, Store, StoreUnavailable
from tests.unit.cli.seed import Seed


def entry(key: str, version: int) -> Entry:
    return Entry(key, b"{}", version)


class Recording:
    """A store that answers `list` and `watch` from a script, and keeps the indexes that it was asked with."""

    def __init__(self, answers: list[Listing | StoreUnavailable]) -> None:
        self.answers = iter(answers)
        self.asked: list[int | None] = []

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._next(None)

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        return None

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        return self._next(index)

    def _next(self, index: int | None) -> Listing:
        self.asked.append(index)
        answer = next(self.answers)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer


class Impatient(RealEnvironment):
    """An environment in which nobody waits; it says how long they would have."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def followed(
    answers: list[Listing | StoreUnavailable], rounds: int
) -> tuple[list[list[str]], Recording, Impatient, list[str]]:
    """Names of the events of each round, then who was asked, who waited, and what was told."""
    store, environment, troubles = Recording(answers), Impatient(), list[str]()
    stream = follow(cast(Store, store), environment, "", lambda error: troubles.append(str(error)))
    return [[row.name for row in next(stream)] for _ in range(rounds)], store, environment, troubles


A, B = keys.events("n1") + "0", keys.events("n1") + "1"


def test_only_what_is_new_or_has_grown_is_told() -> None:
    rounds, store, _, _ = followed(
        [
            Listing((entry(A, 1),), 1),
            Listing((entry(A, 1),), 1),
            Listing((entry(A, 1), entry(B, 2)), 2),
            Listing((entry(A, 3), entry(B, 2)), 3),
        ],
        4,
    )
    assert rounds == [["n1/0"], [], ["n1/1"], ["n1/0"]]
    assert store.asked == [None, 1, 1, 2]


def test_an_index_that_went_back_is_worthless() -> None:
    _, store, _, _ = followed([Listing((), 9), Listing((), 4), Listing((), 4), Listing((), 5)], 3)
    assert store.asked == [None, 9, None, 4]


def test_a_store_that_goes_away_is_told_once_and_asked_again() -> None:
    gone = StoreUnavailable("gone")
    rounds, _, environment, troubles = followed(
        [
            Listing((entry(A, 1),), 1),
            gone,
            gone,
            Listing((entry(A, 1), entry(B, 2)), 2),
            gone,
            Listing((), 2),
        ],
        6,
    )
    assert rounds == [["n1/0"], [], [], ["n1/1"], [], []]
    assert troubles == ["gone", "gone"]
    assert environment.slept.count(FOLLOW_RETRY) == 3


def test_the_first_question_must_be_answered() -> None:
    with pytest.raises(StoreUnavailable):
        followed([StoreUnavailable("gone")], 1)


@pytest.mark.parametrize("form", ["json", "table"])
def test_following_prints_at_once_and_ends_with_ctrl_c(seed: Seed, form: str) -> None:
    seed.event("n1", 1, "Created", instance="a")
    words = [sys.executable, "-m", "roj", "--store", seed.url, "events", "-f", "n1", "-o", form]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        lines = iter(running.stdout.readline, "")
        if form == "table":
            assert next(lines).split()[:2] == ["TIME", "NODE"]
        assert "Created" in next(lines)
        seed.event("n2", 1, "Elsewhere")
        seed.event("n1", 2, "Launched", instance="a")
        line = next(lines)
        assert "Launched" in line
        if form == "json":
            assert json.loads(line)["sequence"] == 2
        running.send_signal(signal.SIGINT)
        assert list(lines) == []
        assert running.stderr.read() == ""
    assert running.returncode == 130
