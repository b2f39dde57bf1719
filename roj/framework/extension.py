"""Controllers of others: found through the entry-point group `roj.controllers`, and run beside roj's own.

    [project.entry-points."roj.controllers"]
    hosts-file = "hosts_file:controllers"

    def controllers(context: Context) -> Iterable[Spec]: ...

An extension that cannot be loaded is logged and left out. It never ends the agent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic

from roj.environment import Environment
from roj.framework.kind import Kind, R
from roj.framework.reporter import Reporter
from roj.store.interface import Store

GROUP = "roj.controllers"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What an extension is given of the agent it runs in."""

    environment: Environment
    """Clock, randomness, waiting."""
    node: str
    """The agent's node."""
    cluster: Callable[[], str | None]
    """The id of the cluster that the agent belongs to; None as long as it knows none."""
    store: Store
    """For the thread that uses it: `store.clone()` makes one for each other thread."""
    reporter: Reporter
    """For events."""


@dataclass(frozen=True, slots=True)
class Spec(Generic[R]):
    """One controller of an extension."""

    name: str
    """One word, in logs and metrics."""
    kind: Kind[R]
    """What it watches."""
    reconcile: Callable[[str, R | None], float | None]
    """Given the name of a record, and the record, or None if there is none (any more): make it so. What it may return
    and raise is in `roj.framework.retry`."""
    workers: int = 1
    """Names that are worked on at once."""
    existing: Callable[[], Iterable[str]] = tuple
    """Names of what there is in the world. Asked after each new list, so that what was undeclared while nobody watched
    is found: the handler is called for names without a record too. If it raises, the list is delivered again."""


def load(context: Context) -> list[Spec[Any]]:
    """The controllers of all extensions that are installed, in the order of the extensions' names."""
    specs: list[Spec[Any]] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            found = list(point.load()(context))
            if not all(isinstance(spec, Spec) for spec in found):
                raise TypeError(f"{point.value} gave something that is no Spec")
        except (Exception, SystemExit):  # noqa: BLE001  (logged; others' mistakes are not the agent's end)
            _log.exception("extension %s (%s) is left out", point.name, point.value)
            continue
        taken = [spec.name for spec in specs]
        for spec in found:
            if spec.name in taken:
                _log.error("extension %s: there is a controller %s already; left out", point.name, spec.name)
            else:
                specs.append(spec)
    return specs
