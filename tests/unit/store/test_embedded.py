"""What the embedded store does beyond the conformance cases: the clock of its sessions, its file, other processes."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from roj.environment import RealEnvironment
from roj.store import embedded, embedded_tables
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Set, StoreUnavailable
from roj.store.pool import StorePool
from tests.unit.store.world import Call, eventually


class Shifted(RealEnvironment):
    """A clock that a test may set forward or back."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Shifted) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(clock, tmp_path / "roj.db" if request.param == "file" else None)) as store:
        yield store


@pytest.fixture
def clock() -> Shifted:
    return Shifted()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "roj.db"


def opened(path: Path) -> closing[EmbeddedStore]:
    return closing(EmbeddedStore(RealEnvironment(), path))


# --- sessions and the clock ---


def test_a_session_ends_when_it_is_not_renewed(store: EmbeddedStore, clock: Shifted) -> None:
    session = store.open_session("one", ttl=20, checked=True)
    assert store.acquire("a/lock", b"1", session)
    clock.ahead += 15
    assert store.renew_session(session)
    clock.ahead += 15
    held = store.get("a/lock")
    assert held is not None
    assert held.session == session
    clock.ahead += 6
    free = store.get("a/lock")
    assert free is not None
    assert (free.session, free.value) == ("", b"1")
    assert free.version > held.version
    assert not store.renew_session(session)
    assert not store.acquire("a/lock", b"1", session)


def test_a_session_shorter_than_consul_takes_lives_as_long_as_consuls_shortest(
    store: EmbeddedStore, clock: Shifted
) -> None:
    session = store.open_session("one", ttl=1, checked=False)
    clock.ahead += embedded.SHORTEST_TTL - 1
    assert store.renew_session(session)


def test_the_end_of_a_session_wakes_a_watch_that_nobody_writes_for(
    store: EmbeddedStore, clock: Shifted
) -> None:
    session = store.open_session("one", ttl=20, checked=False)
    assert store.acquire("a/lock", b"1", session)
    watching = store.clone()
    index = watching.list("a/").index
    clock.ahead += 19.5
    with closing(watching):
        listing = Call(lambda: watching.watch("a/", index, 60)).result()
    assert [entry.session for entry in listing.entries] == [""]


def test_after_a_boot_a_session_lives_one_ttl_more(path: Path) -> None:
    # The monotonic clock begins anew with the boot: what it said before is far ahead.
    before, after = Shifted(), Shifted()
    before.ahead = 1_000_000
    with closing(EmbeddedStore(before, path)) as store:
        session = store.open_session("one", ttl=20, checked=False)
        assert store.acquire("a/lock", b"1", session)
    with closing(EmbeddedStore(after, path)) as store:
        held = store.get("a/lock")
        assert held is not None
        assert held.session == session
        after.ahead += 21
        assert not store.renew_session(session)


# --- the file ---


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    with opened(path) as store:
        store.create("a/b", b"1")
        before = store.list("a/")
    with opened(path) as store:
        assert store.address == f"sqlite://{path}"
        assert store.list("a/") == before


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    with opened(tmp_path / "none" / "roj.db") as store:
        with pytest.raises(StoreUnavailable, match=r"none/roj\.db"):
            store.get("a")
        (tmp_path / "none").mkdir()
        assert store.get("a") is None


@pytest.mark.parametrize("what", ["directory", "garbage", "another program's"])
def test_a_file_that_is_something_else_is_left_alone(path: Path, what: str) -> None:
    if what == "directory":
        path.mkdir()
    elif what == "garbage":
        path.write_bytes(b"not a database at all, whatever it may be" * 100)
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE mine (a)")
    before = path.read_bytes() if path.is_file() else b""
    with opened(path) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.create("a/b", b"1")
    if what == "garbage":
        assert path.read_bytes() == before
    if what == "another program's":
        with closing(sqlite3.connect(path)) as other:
            assert [name for (name,) in other.execute("SELECT name FROM sqlite_master")] == ["mine"]


def test_a_file_that_is_removed_is_an_empty_store(path: Path) -> None:
    with opened(path) as store, opened(path) as other:
        store.create("a/b", b"1")
        index = store.list("a/").index
        call = Call(lambda: other.watch("a/", index, 60))
        assert call.running(0.1)
        for file in path.parent.iterdir():
            file.unlink()
        assert call.result().entries == ()
        assert store.list("a/").entries == ()
        other.create("a/c", b"1")
        assert [entry.key for entry in store.list("a/").entries] == ["a/c"]


def test_a_file_that_is_removed_without_its_log_is_an_empty_store(path: Path) -> None:
    with opened(path) as store:
        store.create("a/b", b"1")
        assert path.with_name("roj.db-wal").exists()
        path.unlink()
        with opened(path) as other:
            assert other.list("a/").entries == ()


def test_only_its_owner_reads_it(path: Path) -> None:
    with opened(path) as store:
        store.create("a/b", b"1")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"roj.db": 0o600, "roj.db-wal": 0o600, "roj.db-shm": 0o600}


def test_a_file_that_is_put_back_is_the_store_as_it_was(path: Path) -> None:
    saved = path.with_name("saved.db")
    with opened(path) as store:
        store.create("a/b", b"1")
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(saved)) as target:
            source.backup(target)
        store.create("a/c", b"1")
        for file in path.parent.glob("roj.db*"):
            file.unlink()
        saved.rename(path)
        assert [entry.key for entry in store.list("a/").entries] == ["a/b"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_writer_that_does_not_end_stops_writes_and_no_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BUSY", 0.01)
    with opened(path) as store:
        store.create("a/b", b"1")
        with locked(path):
            assert store.get("a/b") is not None
            assert len(store.list("a/").entries) == 1
            with pytest.raises(StoreUnavailable, match="another process has written"):
                store.create("a/c", b"1")
        store.create("a/c", b"1")


def test_a_disk_that_is_full(path: Path) -> None:
    with opened(path) as store:
        store.create("a/b", b"1")
        before = store.list("a/")
        assert store._file is not None
        pages = store._file.execute("PRAGMA page_count").fetchone()[0]
        store._file.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match="full"):
            store.transact([Set("a/b", b"2"), Set("a/c", bytes(300_000))])
        assert store.list("a/") == before


# --- other processes ---

WRITER = """
import sys
from pathlib import Path
from roj.environment import RealEnvironment
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Conflict, StoreUnavailable

store = EmbeddedStore(RealEnvironment(), Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    while True:
        found = store.get("a/counted")
        try:
            if found is None:
                store.create("a/counted", b"1")
            else:
                store.swap("a/counted", str(int(found.value) + 1).encode(), found.version)
            break
        except Conflict:
            pass
"""


def writer(path: Path, times: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(times)], env=os.environ | {"PYTHONPATH": str(root)}
    )


def test_processes_that_make_the_file_and_write_at_once(path: Path) -> None:
    writers = [writer(path, 25) for _ in range(3)]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    with opened(path) as store:
        found = store.get("a/counted")
        assert found is not None
        assert found.value == b"75"


def test_a_write_of_another_process_wakes_a_watch(path: Path) -> None:
    with opened(path) as store:
        store.create("a/b", b"1")
        index = store.list("a/").index
        call = Call(lambda: store.watch("a/", index, 60))
        assert call.running(0.1)
        with writer(path, 1) as process:
            assert process.wait(60) == 0
        assert [entry.key for entry in call.result().entries] == ["a/b", "a/counted"]


# --- the rest ---


def test_clients_in_memory_share_what_their_clones_see_and_nothing_else() -> None:
    with (
        closing(EmbeddedStore(RealEnvironment())) as store,
        closing(EmbeddedStore(RealEnvironment())) as other,
    ):
        store.create("a/b", b"1")
        with closing(store.clone()) as clone:
            assert clone.get("a/b") is not None
        assert other.get("a/b") is None


def test_the_name_of_the_machine(store: EmbeddedStore) -> None:
    assert store.node_name() == socket.gethostname().partition(".")[0].lower()
    with closing(EmbeddedStore(RealEnvironment(), node="n7")) as other, closing(other.clone()) as clone:
        assert clone.node_name() == "n7"


def test_deletions_are_remembered_for_a_time_and_no_index_goes_back(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_tables, "TOMBSTONES", 10)
    store.create("b/stays", b"1")
    index = store.list("b/").index
    for number in range(100):
        store.create(f"a/{number}", b"1")
        store.transact([Set("b/other", b"1"), Set(f"b/{number}", b"1")])
        found = store.get(f"b/{number}")
        assert found is not None
        store.delete(f"b/{number}", found.version)
        assert store.list("b/").index > index
        index = store.list("b/").index
    kept = store._database().execute("SELECT count(*) FROM tombstones").fetchone()[0]
    assert kept <= 20


def test_a_pool_gives_each_thread_a_client_of_its_own(store: EmbeddedStore) -> None:
    pool = StorePool(RealEnvironment(), store)
    with pool.client() as one, pool.client() as other:
        assert one is not other
    with pool.client() as again:
        assert again in (one, other)
    pool.close()
    with pytest.raises(StoreUnavailable):
        one.get("a")
    assert store.get("a") is None


def test_many_threads_write_at_once(store: EmbeddedStore) -> None:
    def write(name: str) -> Callable[[], None]:
        client = store.clone()

        def run() -> None:
            with closing(client):
                for number in range(50):
                    client.create(f"a/{name}/{number}", b"1")

        return run

    calls = [Call(write(name)) for name in "abcdef"]
    for call in calls:
        call.result()
    eventually(lambda: len(store.list("a/").entries) == 300)
