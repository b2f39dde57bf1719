"""Controllers of others: how they are found, what they are given, what they are spared; and the example, whole."""

from __future__ import annotations

import importlib
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from roj.api import keys
from roj.api.event import Event
from roj.api.node import Cluster
from roj.api.record import Record
from roj.environment import RealEnvironment
from roj.framework.counted import CountedStore
from roj.framework.extension import GROUP, Context, Spec, load
from roj.framework.kind import Kind
from roj.framework.kind_watch import KindWatch
from roj.framework.manager import Manager
from roj.framework.metrics import Metrics
from roj.framework.reporter import Reporter
from roj.framework.supervisor import Supervisor
from roj.framework.watch import WatchSettings
from roj.store.embedded import EmbeddedStore
from tests.unit.framework.still import START, FakeStore, Still, World

EXAMPLE = Path(__file__).parents[3] / "examples" / "hosts_file"
PATIENCE = 30.0


class Thing(Record):
    what: ClassVar[str] = "thing"
    size: int


THINGS = Kind("thing", "example/things/", Thing)


class Watched:
    """The watch of a kind on a fake store, without threads: `run` watches, then the handler is called for each key."""

    def __init__(self) -> None:
        self.still = Still()
        self.world = World(self.still)
        self.world.put(keys.CLUSTER, Cluster(id="mine", created=START).encode())
        self.reporter = Reporter(self.still, FakeStore(self.world), "n1")
        context = Context(self.still, "n1", lambda: "mine", FakeStore(self.world), self.reporter)
        self.calls: list[tuple[str, int | None]] = []
        self.there: list[str] = []
        self.part = KindWatch(context, Spec("things", THINGS, self.handle, existing=lambda: self.there))

    def handle(self, name: str, thing: Thing | None) -> None:
        self.calls.append((name, thing.size if thing else None))

    def put(self, name: str, size: int) -> None:
        self.world.put(THINGS.key(name), Thing(size=size).encode())

    def run(self, seconds: float) -> None:
        self.still.at(self.still.monotonic() + seconds, self.part.watcher.stop)
        self.part.watcher.run()
        self.part.controller.start(Supervisor(self.still, None, lambda reason: None))
        self.still.at(self.still.monotonic() + 1.0, self.part.controller.stop)
        self.still.threads[-1]()


def test_the_handler_gets_the_record_and_none_when_it_is_gone() -> None:
    watched = Watched()
    watched.put("a", 1)
    watched.put("b", 2)
    watched.still.at(10.0, lambda: watched.world.drop(THINGS.key("b")))
    watched.run(30.0)
    assert sorted(watched.calls) == [("a", 1), ("b", None)]


def test_a_store_of_another_cluster_is_not_believed() -> None:
    watched = Watched()
    watched.put("a", 1)
    watched.world.put(keys.CLUSTER, Cluster(id="other", created=START).encode())
    watched.run(100.0)
    assert watched.calls == []
    assert watched.part.watcher.believed is None


@pytest.mark.parametrize("wiped", ["cluster too", "cluster is another"])
def test_a_wiped_store_is_no_order(wiped: str) -> None:
    watched = Watched()
    watched.put("a", 1)

    def wipe() -> None:
        watched.world.drop(THINGS.key("a"))
        watched.world.drop(keys.CLUSTER)
        if wiped == "cluster is another":
            watched.world.put(keys.CLUSTER, Cluster(id="other", created=START).encode())

    watched.still.at(10.0, wipe)
    watched.run(300.0)
    assert watched.calls == [("a", 1)]


def test_one_listing_that_lacks_a_record_is_no_order() -> None:
    watched = Watched()
    watched.put("a", 1)
    watched.still.at(10.0, lambda: watched.world.lies.extend(["empty"]))
    seen: list[bool] = []
    for moment in range(50, 3000):
        look = lambda: seen.append(THINGS.key("a") in (watched.part.watcher.believed or {}))  # noqa: E731
        watched.still.at(moment / 10.0, look)
    watched.run(300.0)
    assert all(seen)
    assert watched.calls == [("a", 1)]
    assert "get" in watched.world.requests


def test_a_record_that_does_not_parse_keeps_the_last_good_one_and_is_reported() -> None:
    watched = Watched()
    watched.put("a", 1)
    watched.world.put(THINGS.key("b"), b"nonsense")
    watched.still.at(10.0, lambda: watched.world.put(THINGS.key("a"), b"nonsense"))
    watched.run(100.0)
    assert watched.calls == [("a", 1)], "b never was: the handler is not told that it is gone"
    watched.still.at(watched.still.monotonic() + 5.0, lambda: watched.reporter.stop(1.0))
    watched.reporter.run()
    ring = [e.value for key, e in watched.world.entries.items() if key.startswith(keys.events("n1"))]
    assert [Event.decode(value).reason for value in ring] == ["RecordUnreadable"] * 2


def test_what_is_there_without_a_record_is_found_at_the_first_listing() -> None:
    watched = Watched()
    watched.put("a", 1)
    watched.there = ["a", "old"]
    watched.run(10.0)
    assert watched.calls == [("old", None), ("a", 1)]


def test_an_empty_prefix_is_not_asked_for_at_every_write_to_the_store() -> None:
    watched = Watched()
    for second in range(600):
        watched.still.at(float(second), lambda second=second: watched.world.put("elsewhere", b"%d" % second))  # type: ignore[misc]
    watched.run(600.0)
    assert len(watched.world.requests) < 600 / 5 + 10


def test_requests_are_counted() -> None:
    still, metrics = Still(), Metrics()
    store = CountedStore(FakeStore(World(still, lies=["truth", "error"])), metrics).clone()
    store.list("x/")
    for request in (lambda: store.list("x/"), lambda: store.swap("x", b"", 1)):
        with pytest.raises(Exception, match=r"away|precondition"):
            request()
    text = metrics.text()
    for line in ('"list",result="ok"', '"list",result="unavailable"', '"swap",result="conflict"'):
        assert f"roj_store_requests_total{{operation={line}}} 1.0" in text


# --- entry points and the example ---


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, str]], None]]:
    """Install entry points, as `pip install` would."""
    modules = list(sys.modules)

    def install(points: dict[str, str]) -> None:
        place = tmp_path / "site"
        information = place / "somebodys-1.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (information / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.syspath_prepend(str(EXAMPLE))
        importlib.invalidate_caches()

    yield install
    for name in [name for name in sys.modules if name not in modules]:
        if name in {"hosts_file", "broken", "exits"}:
            del sys.modules[name]


def context(store: Any = None) -> Context:
    still = Still()
    store = store or FakeStore(World(still))
    return Context(still, "n1", lambda: "mine", store, Reporter(still, store, "n1"))


def test_a_broken_extension_is_left_out_and_others_are_not(
    install: Callable[[dict[str, str]], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "site").mkdir(parents=True)
    (tmp_path / "site" / "broken.py").write_text("raise RuntimeError('a bug')\n")
    (tmp_path / "site" / "exits.py").write_text("def controllers(context): raise SystemExit(1)\n")
    install(
        {
            "a-broken": "broken:controllers",
            "b-exits": "exits:controllers",
            "c-missing": "missing:controllers",
            "d-wrong": "builtins:repr",
            "e-good": "hosts_file:controllers",
            "f-twice": "hosts_file:controllers",
        }
    )
    assert [spec.name for spec in load(context())] == ["hosts-file"]
    assert sum("is left out" in record.message for record in caplog.records) == 4


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def test_the_example_keeps_a_hosts_file(
    install: Callable[[dict[str, str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    install(declared[GROUP])
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n10.9.9.9\told\t# roj example/dns\n10.1.1.1 hers # by hand\n")
    monkeypatch.setenv("HOSTS_FILE", str(hosts))

    environment, metrics = RealEnvironment(), Metrics()
    store = EmbeddedStore(environment, tmp_path / "store.db")
    store.create(keys.CLUSTER, Cluster(id="mine", created=environment.now()).encode())
    store.create("example/dns/db.internal", b'{"format": 1, "address": "10.0.0.7"}')
    fatal: list[str] = []
    supervisor = Supervisor(environment, metrics, fatal.append)
    reporter = Reporter(environment, store, "n1", metrics=metrics)
    manager = Manager(environment, supervisor, reporter=reporter, metrics=metrics)
    settings = WatchSettings(wait=1.0)
    names = manager.extensions(Context(environment, "n1", lambda: "mine", store, reporter), settings=settings)
    assert names == ["hosts-file"]
    manager.start()

    def has(text: str) -> bool:
        return text in hosts.read_text()

    wait_for(lambda: has("10.0.0.7\tdb.internal") and not has("old"))
    entry = store.get("example/dns/db.internal")
    assert entry is not None
    store.swap("example/dns/db.internal", b'{"format": 1, "address": "10.0.0.8"}', entry.version)
    wait_for(lambda: has("10.0.0.8\tdb.internal") and not has("10.0.0.7"))
    entry = store.get("example/dns/db.internal")
    assert entry is not None
    store.delete("example/dns/db.internal", entry.version)
    wait_for(lambda: not has("db.internal"))
    assert hosts.read_text() == "127.0.0.1 localhost\n10.1.1.1 hers # by hand\n"

    supervisor.stop()
    assert manager.stop(PATIENCE)
    store.close()
    assert fatal == []
    assert 'roj_reconcile_total{controller="hosts-file",result="success"}' in metrics.text()
