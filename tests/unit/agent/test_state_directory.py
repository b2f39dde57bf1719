"""The state directory: whole or not at all, damaged files set aside, one agent at a time."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.agent.state_directory import StateDirectory, StateDirectoryBusy


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def test_what_was_written_is_read_after_reopening(directory: StateDirectory) -> None:
    directory.write("orders/web-a", b"one")
    directory.write("orders/web-a", b"two")
    directory.write("identity", b"\x00\n\xff")
    directory.close()
    again = StateDirectory(directory.path)
    assert again.names("orders/") == ("orders/web-a",)
    found = again.read("orders/web-a")
    assert found is not None
    assert (found.value, found.previous) == (b"two", False)
    found = again.read("identity")
    assert found is not None
    assert found.value == b"\x00\n\xff"
    assert again.damaged == ()


@given(cut=st.integers(0, 90), flip=st.booleans())
def test_a_damaged_file_is_set_aside_and_the_previous_copy_says_that_it_is_one(
    cut: int, flip: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = StateDirectory(tmp_path_factory.mktemp("state"))
    directory.write("node", b"old value")
    directory.write("node", b"new value")
    file = directory.path / "node"
    content = bytearray(file.read_bytes())
    cut = min(cut, len(content) - 1)
    if flip:
        content[cut] ^= 1
    else:
        del content[cut:]
    file.write_bytes(bytes(content))
    found = directory.read("node")
    assert found is not None
    assert (found.value, found.previous) == (b"old value", True)
    assert directory.damaged == ("node",)
    assert (directory.path / "node.damaged-1").read_bytes() == bytes(content)
    directory.write("node", b"newest")
    found = directory.read("node")
    assert found is not None
    assert (found.value, found.previous) == (b"newest", False)
    directory.close()


def test_both_copies_damaged_is_nothing_and_a_reader_changes_nothing(directory: StateDirectory) -> None:
    directory.write("node", b"old")
    directory.write("node", b"new")
    for name in ("node", "node.previous"):
        (directory.path / name).write_bytes(b"rubbish")
    before = sorted(directory.path.iterdir())
    reader = StateDirectory(directory.path, lock=False)
    assert reader.read("node") is None
    assert sorted(directory.path.iterdir()) == before
    assert directory.read("node") is None
    assert sorted(directory.damaged) == ["node", "node.previous"]


def test_deleted_is_gone_with_its_previous_copy(directory: StateDirectory) -> None:
    directory.write("orders/web-a", b"one")
    directory.write("orders/web-a", b"two")
    directory.delete("orders/web-a")
    directory.delete("orders/web-a")
    assert directory.read("orders/web-a") is None
    assert directory.names("orders/") == ()
    assert directory.names("nothing/") == ()


def test_a_second_agent_is_refused_and_told_who_has_it(directory: StateDirectory) -> None:
    with pytest.raises(StateDirectoryBusy, match=rf"process id {os.getpid()}"):
        StateDirectory(directory.path)
    directory.close()
    StateDirectory(directory.path).close()


def test_a_name_cannot_leave_the_directory(directory: StateDirectory) -> None:
    for name in ("../x", "orders/../x", "/etc/x", "", "a/b/c"):
        with pytest.raises(ValueError, match="no name"):
            directory.write(name, b"")


def test_a_full_disk_leaves_the_old_content(directory: StateDirectory) -> None:
    directory.write("node", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            directory.write("node", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found = directory.read("node")
    assert found is not None
    assert (found.value, found.previous) == (b"old", False)
    directory.write("node", b"new")
    found = directory.read("node")
    assert found is not None
    assert (found.value, found.previous) == (b"new", False)
    assert directory.damaged == ()


class _Crash(BaseException):
    """The process is killed."""


_STEPS = ("fsync", "link", "replace", "unlink")


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "Input/output error"), _Crash()])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_whatever_step_fails_the_content_is_the_old_or_the_new(
    before: int, failure: BaseException, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _Steps(monkeypatch)
    for number in range(20):
        name = f"orders/web-{number}"
        for value in range(before):
            directory.write(name, b"%d" % value)
        steps.fail_at(number, failure)
        try:
            directory.write(name, b"new")
            done = True
        except type(failure):
            done = False
        steps.fail_at(None, failure)
        for reader in (directory, StateDirectory(directory.path, lock=False)):
            found = reader.read(name)
            old = b"%d" % (before - 1) if before else None
            assert (found and found.value) in ({b"new"} if done else {old, b"new"})
            assert found is None or not found.previous
            expected = (name,) if found else ()
            assert tuple(seen for seen in reader.names("orders/") if seen == name) == expected
        directory.write(name, b"newest")
        found = directory.read(name)
        assert found is not None
        assert (found.value, found.previous) == (b"newest", False)
        if done:
            break
    assert number >= 3, "every step was tried"
    assert directory.damaged == ()


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "Input/output error"), _Crash()])
def test_a_deletion_that_fails_leaves_no_previous_copy_to_be_read(
    failure: BaseException, directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _Steps(monkeypatch)
    for number in range(3):
        directory.write("node", b"one")
        directory.write("node", b"two")
        steps.fail_at(number, failure)
        with pytest.raises(type(failure)):
            directory.delete("node")
        steps.fail_at(None, failure)
        found = directory.read("node")
        assert found is None or (found.value, found.previous) == (b"two", False)
        directory.delete("node")
        assert directory.read("node") is None


class _Steps:
    """The calls of the operating system that change a directory, of which one fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        self._failure: BaseException = _Crash()
        for step in _STEPS:
            monkeypatch.setattr(os, step, self._may_fail(getattr(os, step)))

    def fail_at(self, number: int | None, failure: BaseException) -> None:
        """Let the call fail after so many more; None: none fails."""
        self._left, self._failure = number, failure

    def _may_fail(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*words: Any, **more: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self._left = None
                    raise self._failure
            return call(*words, **more)

        return step
