"""The embedded store's tables and what is done in them; `embedded` says when, and who may.

`entries` are the keys, `tombstones` what was deleted and not created again (they carry the index of a listing past a
deletion), `counter` the version of the last change. All functions work within the transaction that is open.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from roj.store.interface import (
    Check,
    CheckAbsent,
    CheckSession,
    Create,
    Delete,
    Discard,
    Entry,
    Listing,
    Operation,
    Set,
    Swap,
)

APPLICATION = 0x726F6A31
"""SQLite's application id of such a file ("roj1")."""
TOMBSTONES = 10_000
"""Versions that tombstones are kept for, and up to twice as many; the last that went is the least index of a listing."""

_SCHEMA = """
CREATE TABLE counter (value INTEGER NOT NULL, reaped INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 0);
CREATE TABLE entries (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, session TEXT NOT NULL, locks INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX held ON entries (session) WHERE session <> '';
CREATE TABLE tombstones (key TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (id TEXT PRIMARY KEY, name TEXT NOT NULL, ttl REAL NOT NULL, ends REAL NOT NULL) WITHOUT ROWID;
"""


def connect(path: Path | None, busy: float) -> sqlite3.Connection:
    """Open the database, and make it if there is none; None: one in memory.

    Args:
        busy: seconds to wait for another process's write.

    Raises:
        sqlite3.Error, OSError: it cannot be opened or made, or is something else.
    """
    if path is not None and not path.exists():
        _make_file(path)
    return _opened(path or ":memory:", busy)


def _make_file(path: Path) -> None:
    """Make the database under another name, then give it its own: whoever comes at the same time finds all or nothing.

    (Two that switch one new file to a write-ahead log at once are told "locked", whatever they are ready to wait.)
    """
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if path.exists():
            return
        new = path.with_name(f".{path.name}.new")
        for name in (new, path):  # what an interrupted making left, and the log of a file that was removed
            _remove(name)
        try:
            _opened(new, 0).close()
            new.chmod(0o600)  # settings of containers are in it, secrets perhaps
            new.rename(path)
            os.fsync(directory)
        finally:
            _remove(new)
    finally:
        os.close(directory)


def _remove(path: Path) -> None:
    for name in (f"{path}", f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)


def _opened(path: Path | str, busy: float) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
    try:
        if _application(database) != APPLICATION:  # new, or a file without content
            _refuse_others(database)
            # Write-ahead log: a reader never waits for a writer. The setting stays with the file.
            database.execute("PRAGMA journal_mode = WAL")
            _make_tables(database)
        database.execute("PRAGMA synchronous = FULL")  # what was acknowledged outlives a power cut
    except BaseException:
        database.close()
        raise
    return database


def _application(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA application_id").fetchone()[0])


def _make_tables(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    if _application(database) != APPLICATION:  # nobody else made them meanwhile
        _refuse_others(database)
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute("COMMIT")


def _refuse_others(database: sqlite3.Connection) -> None:
    # In the moment in which another process of ours makes the tables, both are there or neither.
    if database.execute("SELECT 1 FROM sqlite_master").fetchone() and _application(database) != APPLICATION:
        raise sqlite3.DatabaseError("the file is the database of another program")


def foreign_commits(database: sqlite3.Connection) -> int:
    """A number that changes when another connection commits."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])


# --- reading ---


def get(database: sqlite3.Connection, key: str) -> Entry | None:
    """The entry, or None."""
    row = database.execute("SELECT value, version, session FROM entries WHERE key = ?", (key,)).fetchone()
    return Entry(key, *row) if row else None


def listing(database: sqlite3.Connection, prefix: str) -> Listing:
    """All under the prefix, in the order of their keys' bytes."""
    rows = database.execute(
        "SELECT key, value, version, session FROM entries WHERE key >= ? AND key < ? ORDER BY key",
        _range(prefix),
    )
    entries = tuple(Entry(*row) for row in rows)
    return Listing(entries, _index(database, prefix, max((entry.version for entry in entries), default=None)))


def index_of(database: sqlite3.Connection, prefix: str) -> int:
    """The index that a listing would have."""
    highest = database.execute(
        "SELECT max(version) FROM entries WHERE key >= ? AND key < ?", _range(prefix)
    ).fetchone()[0]
    return _index(database, prefix, highest)


def _index(database: sqlite3.Connection, prefix: str, highest: int | None) -> int:
    value, reaped = database.execute("SELECT value, reaped FROM counter").fetchone()
    if highest is None:
        return int(value)
    deleted = database.execute(
        "SELECT max(version) FROM tombstones WHERE key >= ? AND key < ?", _range(prefix)
    ).fetchone()[0]
    return int(max(highest, deleted or 0, reaped))


def _range(prefix: str) -> tuple[str, str]:
    return prefix, prefix + "\U0010ffff"  # text is compared by its UTF-8 bytes


# --- sessions ---


def open_session(database: sqlite3.Connection, session: str, name: str, ttl: float, ends: float) -> None:
    """Begin a session; it ends `ttl` seconds after each renewal, now at `ends` of the monotonic clock."""
    database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (session, name, ttl, ends))


def renew_session(database: sqlite3.Connection, session: str, now: float) -> bool:
    """Let it live another TTL; whether it still did."""
    return database.execute("UPDATE sessions SET ends = ttl + ? WHERE id = ?", (now, session)).rowcount > 0


def next_end(database: sqlite3.Connection) -> float | None:
    """When the next session ends unless it is renewed."""
    ends = database.execute("SELECT min(ends) FROM sessions").fetchone()[0]
    return None if ends is None else float(ends)


def any_overdue(database: sqlite3.Connection, now: float) -> bool:
    """Whether `end_overdue` has anything to do."""
    # The monotonic clock begins anew with each boot: an end further away than the TTL is of an earlier one.
    query = "SELECT EXISTS (SELECT 1 FROM sessions WHERE ends <= ? OR ends > ttl + ?)"
    return bool(database.execute(query, (now, now)).fetchone()[0])


# --- writing ---


class Transaction:
    """Changes that belong together: all get one version, the next of the store's counter."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._version: int | None = None

    def apply(self, operation: Operation) -> str:
        """Do it; why not, if its precondition does not hold."""
        key = operation.key
        row = self._database.execute("SELECT version, session FROM entries WHERE key = ?", (key,)).fetchone()
        version, session = row or (None, "")
        match operation:
            case Check(_, wanted) | Swap(_, _, wanted) | Delete(_, wanted) if version != wanted:
                return (
                    f"{key} does not exist"
                    if version is None
                    else f"{key} has version {version}, not {wanted}"
                )
            case CheckAbsent() | Create() if version is not None:
                return f"{key} exists"
            case CheckSession(_, wanted_session) if version is None or session != wanted_session:
                return f"{key} is held by {session or 'nobody'}, not by {wanted_session}"
            case Set(_, value) | Create(_, value) | Swap(_, value, _):
                # A plain write leaves the key held and, as in Consul, forgets how often it was acquired.
                self._put(key, value, session, 0)
            case Delete() | Discard() if version is not None:
                self._delete(key)
            case _:  # a check that holds, or nothing to discard
                pass
        return ""

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        """Write and hold the key; False if the session is gone or another holds it."""
        if not self._database.execute("SELECT 1 FROM sessions WHERE id = ?", (session,)).fetchone():
            return False
        row = self._database.execute("SELECT session, locks FROM entries WHERE key = ?", (key,)).fetchone()
        holder, locks = row or ("", 0)
        if holder not in ("", session):
            return False
        self._put(key, value, session, locks if holder else locks + 1)
        return True

    def release(self, key: str, value: bytes, session: str) -> bool:
        """Write the key and let it go; False if the session does not hold it."""
        row = self._database.execute("SELECT session, locks FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None or not session or row[0] != session:
            return False
        self._put(key, value, "", row[1])
        return True

    def end_session(self, session: str) -> None:
        """End it, if it lives, and let its keys go."""
        if self._database.execute("DELETE FROM sessions WHERE id = ?", (session,)).rowcount == 0:
            return
        held = "session = ? AND session <> ''"  # the second half lets SQLite use the index
        if self._database.execute(f"SELECT 1 FROM entries WHERE {held}", (session,)).fetchone():
            self._database.execute(
                f"UPDATE entries SET session = '', version = ? WHERE {held}", (self._next(), session)
            )

    def end_overdue(self, now: float) -> None:
        """End all sessions whose time is over."""
        self._database.execute("UPDATE sessions SET ends = ttl + ? WHERE ends > ttl + ?", (now, now))
        for (session,) in self._database.execute(
            "SELECT id FROM sessions WHERE ends <= ? ORDER BY ends, id", (now,)
        ).fetchall():
            self.end_session(session)

    def _put(self, key: str, value: bytes, session: str, locks: int) -> None:
        old = self._database.execute(
            "SELECT value, session, locks FROM entries WHERE key = ?", (key,)
        ).fetchone()
        if old == (value, session, locks):
            return
        version = self._next()
        if old is None:
            self._database.execute("DELETE FROM tombstones WHERE key = ?", (key,))
        self._database.execute(
            "INSERT INTO entries (key, version, session, locks, value) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET version = excluded.version, session = excluded.session,"
            " locks = excluded.locks, value = excluded.value",
            (key, version, session, locks, value),
        )

    def _delete(self, key: str) -> None:
        version = self._next()
        self._database.execute("DELETE FROM entries WHERE key = ?", (key,))
        self._database.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (key, version))
        reaped = self._database.execute("SELECT reaped FROM counter").fetchone()[0]
        if version - reaped >= 2 * TOMBSTONES:
            last = (version - TOMBSTONES,)
            self._database.execute("DELETE FROM tombstones WHERE version <= ?", last)
            self._database.execute("UPDATE counter SET reaped = ?", last)

    def _next(self) -> int:
        """The version of all that this transaction changes."""
        if self._version is None:
            self._database.execute("UPDATE counter SET value = value + 1")
            self._version = int(self._database.execute("SELECT value FROM counter").fetchone()[0])
        return self._version
