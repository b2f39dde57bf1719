"""The store in one SQLite file, or in memory: Consul's semantics without Consul.

Several processes of one machine may share the file. A blocking query of one is woken by a write of another within POLL
seconds: SQLite's `data_version` tells that another connection has committed. Clients made by `clone` share one lock and
wake each other at once.

What is as in Consul: one counter for the whole store is the version of whatever a write changes; an equal write changes
nothing; a listing's index is the highest version under its prefix, deletions included, and of an empty prefix the whole
store's; a plain write to a held key leaves it held; the session's end releases its keys. What is not: an index never
steps back, a session ends TTL after its last renewal and not up to twice that, and no check of a machine ends one.
"""

from __future__ import annotations

import errno
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from roj.environment import Environment
from roj.store import embedded_tables as tables
from roj.store.interface import (
    Conflict,
    Create,
    Delete,
    Entry,
    Listing,
    Operation,
    Set,
    StoreUnavailable,
    Swap,
    check_size,
)

POLL = 0.05
"""Seconds between two looks for commits of other processes."""
BUSY = 5.0
"""Seconds that a write waits for another process's write to end."""
SHORTEST_TTL = 10.0
"""Seconds; Consul takes none shorter."""
_CLOSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
IN_MEMORY = "sqlite::memory:"


class _Shared:
    """What all clones have in common: a lock with its condition, and in memory the connection."""

    def __init__(self, environment: Environment, path: Path | None, node: str) -> None:
        self.environment = environment
        self.path = path
        self.node = node
        self.changed = environment.condition()
        """Held during every access to the database; notified after every change."""
        self.memory: sqlite3.Connection | None = None
        self.clients = 0


class EmbeddedStore:
    """A client of the store in a file, or in the memory of this process (`path` None: clones see the same data)."""

    def __init__(self, environment: Environment, path: Path | None = None, *, node: str = "") -> None:
        """Nothing is opened yet: a file that cannot be is StoreUnavailable at the first call.

        Args:
            node: what `node_name` answers; by default the host's name up to the first dot.
        """
        self._open(_Shared(environment, path, node or socket.gethostname().partition(".")[0].lower()))

    def _open(self, shared: _Shared) -> None:
        self._shared = shared
        self._changed = shared.changed
        self._file: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._closed = False
        self.address = IN_MEMORY if shared.path is None else f"sqlite://{shared.path}"
        with shared.changed:
            shared.clients += 1

    # --- reading ---

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        del consistent  # every read is
        with self._changed, self._reading() as database:
            return tables.get(database, key)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        del consistent
        with self._changed, self._reading() as database:
            return tables.listing(database, prefix)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        clock = self._shared.environment
        until = clock.monotonic() + wait
        with self._changed, self._typed():
            while True:
                with self._reading() as database:
                    now_at = tables.index_of(database, prefix)
                    remaining = until - clock.monotonic()
                    if index <= 0 or now_at != index or remaining <= 0:
                        return tables.listing(database, prefix)
                    ends = tables.next_end(database)
                    seen = self._commits(database)
                if ends is not None:
                    remaining = min(remaining, max(ends - clock.monotonic(), 0.0))
                self._wait_for_change(seen, remaining)

    def _wait_for_change(self, seen: object, longest: float) -> None:
        """Until a client of this process or, by the file, of another may have changed something."""
        if self._shared.path is None:
            self._changed.wait(longest)
            return
        clock = self._shared.environment
        until = clock.monotonic() + longest
        while (remaining := until - clock.monotonic()) > 0:
            if self._changed.wait(min(POLL, remaining)):
                return
            if self._commits(self._database()) != seen:
                return

    def _commits(self, database: sqlite3.Connection) -> object:
        """What differs after a commit of another connection, or once the file is another."""
        return self._inode, tables.foreign_commits(database)

    # --- writing ---

    def create(self, key: str, value: bytes) -> None:
        self._write_one(Create(key, value), f"{key} exists")

    def swap(self, key: str, value: bytes, version: int) -> None:
        self._write_one(Swap(key, value, version), f"{key} has not version {version}")

    def delete(self, key: str, version: int) -> None:
        self._write_one(Delete(key, version), f"{key} has not version {version}")

    def _write_one(self, operation: Operation, why: str) -> None:
        check_size([operation])
        with self._changed, self._writing() as database:
            if tables.Transaction(database).apply(operation):
                raise Conflict(why, (0,))

    def transact(self, operations: Sequence[Operation]) -> None:
        check_size(operations)
        with self._changed, self._writing() as database:
            # As in Consul, those after one that failed are tried too, so that all that fail are told at once.
            transaction = tables.Transaction(database)
            failed = {
                at: why for at, operation in enumerate(operations) if (why := transaction.apply(operation))
            }
            if failed:
                raise Conflict("; ".join(failed.values()), tuple(failed))

    # --- sessions ---

    def open_session(self, name: str, *, ttl: float, checked: bool) -> str:
        del checked  # there is no agent whose health could fail
        session = self._shared.environment.new_id()
        ttl = max(ttl, SHORTEST_TTL)
        with self._changed, self._writing() as database:
            tables.open_session(database, session, name, ttl, self._shared.environment.monotonic() + ttl)
        return session

    def renew_session(self, session: str) -> bool:
        with self._changed, self._writing() as database:
            return tables.renew_session(database, session, self._shared.environment.monotonic())

    def end_session(self, session: str) -> None:
        with self._changed, self._writing() as database:
            tables.Transaction(database).end_session(session)

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        with self._changed, self._writing() as database:
            return tables.Transaction(database).acquire(key, value, session)

    def release(self, key: str, value: bytes, session: str) -> bool:
        check_size([Set(key, value)])
        with self._changed, self._writing() as database:
            return tables.Transaction(database).release(key, value, session)

    # --- this machine, and the client itself ---

    def node_name(self) -> str:
        return self._shared.node

    def node_address(self) -> str:
        return "127.0.0.1"  # nobody from elsewhere shares the file

    def clone(self) -> EmbeddedStore:
        other = object.__new__(EmbeddedStore)
        other._open(self._shared)
        return other

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._close_file()
            self._shared.clients -= 1
            if self._shared.clients == 0 and self._shared.memory is not None:
                self._shared.memory.close()
                self._shared.memory = None
            self._changed.notify_all()

    # --- the database; all of it is called with the lock held ---

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The database at one moment, without sessions whose time is over."""
        with self._typed():
            database = self._database()
            self._end_overdue(database)
            database.execute("BEGIN")
            try:
                yield database
            finally:
                _roll_back(database)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed at the end, unless something is raised."""
        with self._typed():
            database = self._database()
            self._end_overdue(database)
            with self._committed(database):
                yield database

    @contextmanager
    def _committed(self, database: sqlite3.Connection) -> Iterator[None]:
        database.execute("BEGIN IMMEDIATE")
        before = database.total_changes
        try:
            yield
            changed = database.total_changes != before
            database.execute("COMMIT" if changed else "ROLLBACK")  # an equal write costs no fsync
        except BaseException:
            _roll_back(database)
            raise
        if changed:
            self._changed.notify_all()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            why, advice = _explained(error, self._shared.path)
            raise StoreUnavailable(f"{self.address}: {why}", advice=advice) from error

    def _database(self) -> sqlite3.Connection:
        """The connection. A file that was removed or replaced meanwhile is opened anew: what is there now counts.

        Raises: StoreUnavailable, sqlite3.Error, OSError.
        """
        if self._closed:
            raise StoreUnavailable(f"{self.address}: the client is closed")
        path = self._shared.path
        if path is None:
            if self._shared.memory is None:
                self._shared.memory = tables.connect(None, BUSY)
            return self._shared.memory
        try:
            found = path.stat()
            inode = (found.st_dev, found.st_ino)
        except FileNotFoundError:
            inode = None
        if self._file is None or inode != self._inode:
            self._close_file()
            self._file = tables.connect(path, BUSY)
            found = path.stat()
            self._inode = (found.st_dev, found.st_ino)
        return self._file

    def _close_file(self) -> None:
        file, self._file, self._inode = self._file, None, None
        if file is not None:
            with suppress(sqlite3.Error):
                file.close()

    def _end_overdue(self, database: sqlite3.Connection) -> None:
        """End the sessions whose time is over."""
        now = self._shared.environment.monotonic()
        if not tables.any_overdue(database, now):
            return
        with self._committed(database):
            tables.Transaction(database).end_overdue(now)


def _explained(error: sqlite3.Error | OSError, path: Path | None) -> tuple[str, str]:
    """What is wrong with the file, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # SQLite's primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has written to it for {BUSY:g} s", "Repeat it."
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC:
        return "no space is left there", f"Make room for {path}, then repeat it."
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"the file is damaged, or none of roj's: {error}",
            f"Put {path} aside; `roj restore` on the nodes refills a new one.",
        )
    if isinstance(error, PermissionError) or code in _CLOSED:
        return (
            "this user may not read and write it",
            f"It takes the right to write to {path} and to {path.parent if path else ''}, where SQLite keeps its log.",
        )
    if isinstance(error, FileNotFoundError) and path is not None:
        return (
            f"the directory {path.parent} is not there",
            "Make it, or name another file by --store or ROJ_STORE.",
        )
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words, "--store or ROJ_STORE names another file."


def _roll_back(database: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if database.in_transaction:
            database.execute("ROLLBACK")
