"""The embedded store in the machine of all stores: several clients of one file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings

from roj.environment import RealEnvironment
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Store
from tests.property.store_machine import StoreMachine


class Clock(RealEnvironment):
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time


class EmbeddedStoreMachine(StoreMachine):
    """The embedded store, in a file."""

    def prepare(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = Clock()

    def opened(self) -> Store:
        return EmbeddedStore(self.clock, self.directory / "roj.db")

    def pass_time(self, seconds: float) -> None:
        self.clock.time += seconds

    def now(self) -> float:
        return self.clock.time

    def clean_up(self) -> None:
        shutil.rmtree(self.directory)


EmbeddedStoreMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestEmbeddedStore = EmbeddedStoreMachine.TestCase
