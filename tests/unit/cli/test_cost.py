"""What reading costs: the requests to the store that `roj.client.view` and `roj.client.inspection` state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from roj.api import keys
from roj.client.event_view import events
from roj.client.history import instance_history
from roj.client.inspection import inspect_app, inspect_instance, inspect_node
from roj.client.view import View
from roj.store.interface import Entry, Listing, Store
from tests.unit.cli.seed import Seed


class Counting:
    """A store that writes down what it is asked."""

    def __init__(self, store: Store) -> None:
        self.address = store.address
        self.asked: list[str] = []
        self._store = store

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        self.asked.append(key)
        return self._store.get(key, consistent=consistent)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        self.asked.append(prefix)
        return self._store.list(prefix, consistent=consistent)


OF_N1 = [keys.desired("n1"), keys.observed("n1")]
ALL = [keys.DESIRED, keys.OBSERVED]
APP = [keys.app("web", "v1"), keys.pins("web", "v1")]


@pytest.mark.parametrize(
    ("read", "requests"),
    [
        (lambda store: View(store).instances(), ALL),
        (lambda store: View(store).instances("n1"), OF_N1),
        (lambda store: View(store).nodes(), ALL),
        (lambda store: View(store).apps(), [keys.APPS, keys.DESIRED]),
        (lambda store: View(store).cluster(), [keys.CLUSTER, *ALL]),
        (events, [keys.EVENTS]),
        (lambda store: events(store, "n1/a"), [keys.events("n1")]),
        (lambda store: events(store, "b"), [keys.EVENTS, *ALL]),
        (lambda store: instance_history(store, "n1/a"), [*OF_N1, keys.history("n1", "a")]),
        (lambda store: inspect_node(store, "n1"), [*OF_N1, keys.events("n1")]),
        (
            lambda store: inspect_instance(store, "n1/a"),
            [*OF_N1, *APP, keys.history("n1", "a"), keys.events("n1")],
        ),
        (
            lambda store: inspect_instance(store, "a"),
            [*ALL, *APP, keys.history("n1", "a"), keys.events("n1")],
        ),
        (lambda store: inspect_app(store, "web:v1"), [*APP, keys.app_use("web", "v1"), *ALL]),
    ],
)
def test_reading_asks_no_more_than_is_stated(
    seed: Seed, read: Callable[[Store], Any], requests: list[str]
) -> None:
    seed.app()
    seed.node("n1")
    for id in ("a", "b", "c"):
        seed.instance("n1", id)
        seed.status("n1", id)
    seed.event("n1", 1, "Launched", instance="a")
    store = Counting(seed.store)
    read(cast(Store, store))
    assert sorted(store.asked) == sorted(requests)
