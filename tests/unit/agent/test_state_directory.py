"""The state directory: whole or not at all, damaged files set aside, one agent at a time."""

from __future__ import annotations

import os
from pathlib import Path

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
