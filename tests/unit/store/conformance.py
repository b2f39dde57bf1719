"""What a store must do, whichever it is: cases that run against the embedded one and against a real Consul."""

from __future__ import annotations

import pytest

from roj.api.record import MAX_VALUE
from roj.store.interface import (
    MAX_OPERATIONS,
    Check,
    CheckAbsent,
    CheckSession,
    Conflict,
    Create,
    Delete,
    Discard,
    Entry,
    Listing,
    Operation,
    Set,
    StoreUnavailable,
    Swap,
    TooLarge,
)
from tests.unit.store.world import Call, World, eventually

NOBODY = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
"""A session that never was."""


def version(world: World, name: str) -> int:
    return entry(world, name).version


def entry(world: World, name: str) -> Entry:
    found = world.store.get(world.key(name), consistent=True)
    assert found is not None
    return found


def values(listing: Listing, prefix: str) -> dict[str, bytes]:
    return {found.key.removeprefix(prefix): found.value for found in listing.entries}


# --- keys ---


@pytest.mark.parametrize("value", [b"", b"\0", b"null", b'{"a": 1}', bytes(range(256)), "žluťoučký".encode()])
def test_a_value_comes_back_as_it_was(world: World, value: bytes) -> None:
    key = world.key("bytes")
    world.store.create(key, value)
    for consistent in (False, True):
        found = world.store.get(key, consistent=consistent)
        assert found is not None
        assert (found.key, found.value, found.session) == (key, value, "")
        assert world.store.list(world.prefix, consistent=consistent).entries == (found,)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "a%2fb", "a?b=c", "a#b", "ž", "a:b", "a&b", "a;b", 'a"b', "a/b.c/d-e_f"]
)
def test_keys_of_any_letters(world: World, name: str) -> None:
    key = world.key(name)
    world.store.create(key, b"1")
    world.store.transact([Swap(key, b"2", version(world, name)), Set(key + "2", b"3")])
    assert values(world.store.list(world.prefix), world.prefix) == {name: b"2", name + "2": b"3"}
    world.store.delete(key, version(world, name))
    assert world.store.get(key) is None


def test_nothing_is_there_at_first(world: World) -> None:
    assert world.store.get(world.key("none")) is None
    listing = world.store.list(world.prefix)
    assert listing.entries == ()
    assert listing.index > 0


def test_a_prefix_is_a_directory_and_no_beginning_of_a_name(world: World) -> None:
    for name in ("n1/a", "n10/a", "n1", "n1-/a", "n1/b/c"):
        world.store.create(world.key(name), name.encode())
    listing = world.store.list(world.key("n1/"))
    assert values(listing, world.prefix) == {"n1/a": b"n1/a", "n1/b/c": b"n1/b/c"}


def test_a_listing_is_in_the_order_of_the_bytes_of_its_names(world: World) -> None:
    names = ["a", "a-", "a/", "a/b", "a0", "aa", "b", "Z", "~", "é", "\uffee", "\U0001f600"]
    for name in reversed(names):
        world.store.create(world.key(name), b"")
    listed = [found.key.removeprefix(world.prefix) for found in world.store.list(world.prefix).entries]
    assert listed == sorted(names, key=str.encode)


def test_create_only_what_is_not_there(world: World) -> None:
    key = world.key("once")
    world.store.create(key, b"1")
    with pytest.raises(Conflict):
        world.store.create(key, b"1")
    assert entry(world, "once").value == b"1"


def test_swap_only_the_version_that_was_read(world: World) -> None:
    key = world.key("swapped")
    world.store.create(key, b"1")
    first = version(world, "swapped")
    world.store.swap(key, b"2", first)
    second = version(world, "swapped")
    assert second > first
    for wrong in (first, second + 1, 0, -1):
        with pytest.raises(Conflict):
            world.store.swap(key, b"3", wrong)
    assert entry(world, "swapped") == Entry(key, b"2", second)


@pytest.mark.parametrize("wrong", [0, 1, 2**40])
def test_what_is_not_there_has_no_version(world: World, wrong: int) -> None:
    key = world.key("none")
    refused: list[Operation] = [Check(key, wrong), Swap(key, b"1", wrong), Delete(key, wrong)]
    with pytest.raises(Conflict):
        world.store.swap(key, b"1", wrong)
    with pytest.raises(Conflict):
        world.store.delete(key, wrong)
    for operation in refused:
        with pytest.raises(Conflict):
            world.store.transact([operation])
    assert world.store.get(key) is None


def test_delete_only_the_version_that_was_read(world: World) -> None:
    key = world.key("deleted")
    world.store.create(key, b"1")
    first = version(world, "deleted")
    world.store.swap(key, b"2", first)
    with pytest.raises(Conflict):
        world.store.delete(key, first)
    world.store.delete(key, version(world, "deleted"))
    assert world.store.get(key) is None
    world.store.create(key, b"1")
    assert version(world, "deleted") > first + 1


def test_an_equal_write_moves_nothing(world: World) -> None:
    key = world.key("equal")
    world.store.create(key, b"1")
    before = entry(world, "equal")
    index = world.store.list(world.prefix).index
    world.store.swap(key, b"1", before.version)
    world.store.transact([Set(key, b"1"), Swap(key, b"1", before.version)])
    assert entry(world, "equal") == before
    assert world.store.list(world.prefix).index == index


# --- transactions ---


def test_a_transaction_is_all_at_once(world: World) -> None:
    for name in ("swapped", "deleted", "discarded", "checked"):
        world.store.create(world.key(name), b"old")
    world.store.transact(
        [
            Check(world.key("checked"), version(world, "checked")),
            CheckAbsent(world.key("none")),
            Create(world.key("created"), b"1"),
            Swap(world.key("swapped"), b"2", version(world, "swapped")),
            Set(world.key("set"), b"3"),
            Delete(world.key("deleted"), version(world, "deleted")),
            Discard(world.key("discarded")),
            Discard(world.key("never was")),
        ]
    )
    listing = world.store.list(world.prefix)
    assert values(listing, world.prefix) == {"checked": b"old", "created": b"1", "set": b"3", "swapped": b"2"}
    assert {found.version for found in listing.entries if found.value != b"old"} == {listing.index}


def test_a_transaction_that_fails_writes_nothing_and_names_all_that_failed(world: World) -> None:
    world.store.create(world.key("there"), b"old")
    now = version(world, "there")
    before = world.store.list(world.prefix)
    with pytest.raises(Conflict) as caught:
        world.store.transact(
            [
                Set(world.key("set"), b"1"),
                Check(world.key("there"), now + 1),
                CheckAbsent(world.key("there")),
                Check(world.key("there"), now),
                Create(world.key("there"), b"1"),
                Swap(world.key("there"), b"1", now + 1),
                Delete(world.key("there"), now + 1),
                CheckSession(world.key("there"), NOBODY),
                Delete(world.key("none"), now),
                Discard(world.key("there")),
            ]
        )
    assert caught.value.failed == (1, 2, 4, 5, 6, 7, 8)
    assert "there" in str(caught.value)
    assert world.store.list(world.prefix) == before


def test_operations_of_a_transaction_see_those_before_them(world: World) -> None:
    key = world.key("seen")
    with pytest.raises(Conflict) as caught:
        world.store.transact([Create(key, b"1"), CheckAbsent(key)])
    assert caught.value.failed == (1,)
    world.store.transact([CheckAbsent(key), Create(key, b"1"), Set(key, b"2")])
    assert entry(world, "seen").value == b"2"
    world.store.transact([Discard(key), CheckAbsent(key), Create(key, b"3")])
    assert entry(world, "seen").value == b"3"


def test_a_transaction_of_checks_alone(world: World) -> None:
    world.store.create(world.key("there"), b"")
    world.store.transact([Check(world.key("there"), version(world, "there")), CheckAbsent(world.key("none"))])
    with pytest.raises(Conflict) as caught:
        world.store.transact([CheckAbsent(world.key("none")), CheckAbsent(world.key("there"))])
    assert caught.value.failed == (1,)


def test_an_empty_transaction_is_none(world: World) -> None:
    world.store.transact([])


def test_the_largest_value_and_transaction_are_taken_and_larger_ones_refused(world: World) -> None:
    largest = bytes(range(256)) * (MAX_VALUE // 256)
    world.store.create(world.key("large"), largest)
    world.store.transact([Swap(world.key("large"), largest[::-1], version(world, "large"))])
    assert entry(world, "large").value == largest[::-1]
    world.store.transact(
        [Set(world.key(f"many/{number:02}"), b"x" * 5500) for number in range(MAX_OPERATIONS)]
    )
    many = world.store.list(world.key("many/")).entries
    assert len(many) == MAX_OPERATIONS
    world.store.transact([Delete(found.key, found.version) for found in many[: MAX_OPERATIONS // 2]])
    too_large: list[list[Operation]] = [
        [Set(world.key("large"), bytes(MAX_VALUE + 1))],
        [Set(world.key(f"large{number}"), bytes(200_000)) for number in range(2)],
        [Set(world.key(f"few{number}"), b"") for number in range(MAX_OPERATIONS + 1)],
        [Delete(found.key, found.version) for found in many[: MAX_OPERATIONS // 2 + 1]],
    ]
    for operations in too_large:
        with pytest.raises(TooLarge):
            world.store.transact(operations)
    session = world.store.open_session("large", ttl=60, checked=False)
    for write in (
        lambda: world.store.create(world.key("new"), bytes(MAX_VALUE + 1)),
        lambda: world.store.swap(world.key("large"), bytes(MAX_VALUE + 1), version(world, "large")),
        lambda: world.store.acquire(world.key("large"), bytes(MAX_VALUE + 1), session),
    ):
        with pytest.raises(TooLarge):
            write()
    assert entry(world, "large").value == largest[::-1]


def test_of_writers_at_once_one_wins(world: World) -> None:
    key = world.key("counted")
    world.store.create(key, b"0")

    def count() -> int:
        client = world.another()
        conflicts, left = 0, 20
        while left:
            found = client.get(key, consistent=True)
            assert found is not None
            try:
                client.swap(key, str(int(found.value) + 1).encode(), found.version)
            except Conflict:
                conflicts += 1
            else:
                left -= 1
        return conflicts

    calls = [Call(count) for _ in range(4)]
    assert [call.result() >= 0 for call in calls] == [True] * 4
    assert entry(world, "counted").value == b"80"


# --- watching ---


def test_index_zero_does_not_block(world: World) -> None:
    world.store.create(world.key("a"), b"1")
    assert values(world.store.watch(world.prefix, 0, 60), world.prefix) == {"a": b"1"}


def test_an_index_that_is_past_does_not_block(world: World) -> None:
    world.store.create(world.key("a"), b"1")
    index = world.store.list(world.prefix).index
    world.store.create(world.key("b"), b"1")
    assert values(world.store.watch(world.prefix, index, 60), world.prefix) == {"a": b"1", "b": b"1"}


def test_a_watch_ends_after_its_wait(world: World) -> None:
    world.store.create(world.key("a"), b"1")
    listing = world.store.list(world.prefix)
    assert world.store.watch(world.prefix, listing.index, 0.05) == listing
    assert world.store.watch(world.prefix, listing.index, 0) == listing


def test_a_change_wakes_every_watch_of_its_prefix(world: World) -> None:
    world.store.create(world.key("a"), b"1")

    def change() -> None:
        world.store.create(world.key("b"), b"1")

    def write() -> None:
        world.store.transact([Set(world.key("a"), b"2")])

    def delete() -> None:
        world.store.delete(world.key("a"), version(world, "a"))

    index = world.store.list(world.prefix, consistent=True).index
    for alter, expected in (
        (change, {"a": b"1", "b": b"1"}),
        (write, {"a": b"2", "b": b"1"}),
        (delete, {"b": b"1"}),
    ):
        calls = [
            Call(lambda client=client, index=index: client.watch(world.prefix, index, 60))  # type: ignore[misc]  # mypy cannot infer defaults
            for client in (world.another(), world.clone(), world.clone())
        ]
        assert all(call.running(0.1) for call in calls)
        alter()
        listings = [call.result() for call in calls]
        assert [values(listing, world.prefix) for listing in listings] == [expected] * 3
        assert listings[0].index > index
        index = listings[0].index


def test_a_change_elsewhere_wakes_no_watch(world: World) -> None:
    world.store.create(world.key("n1/a"), b"1")
    watching = world.another()
    listing = watching.list(world.key("n1/"))
    call = Call(lambda: watching.watch(world.key("n1/"), listing.index, 60))
    for name in ("n10/a", "n1", "n2/a"):
        world.store.create(world.key(name), b"1")
    session = world.store.open_session("elsewhere", ttl=60, checked=False)
    assert world.store.renew_session(session)
    world.store.transact([Set(world.key("n1/a"), b"1")])  # equal
    assert call.running(0.3)
    world.store.create(world.key("n1/b"), b"1")
    assert [found.key for found in call.result().entries] == [world.key("n1/a"), world.key("n1/b")]


def test_an_empty_prefix_has_the_index_of_the_whole_store(world: World) -> None:
    # It wakes with every write, then: whoever watches keeps something under the prefix.
    watching = world.another()
    index = watching.list(world.key("empty/")).index
    call = Call(lambda: watching.watch(world.key("empty/"), index, 60))
    world.store.create(world.key("other"), b"1")
    listing = call.result()
    assert listing.entries == ()
    assert listing.index > index


def test_a_deletion_is_in_the_index(world: World) -> None:
    world.store.create(world.key("a"), b"1")
    world.store.create(world.key("b"), b"1")
    before = world.store.list(world.prefix).index
    world.store.delete(world.key("b"), version(world, "b"))
    assert world.store.list(world.prefix).index > before


def test_close_ends_a_call_that_blocks_in_another_thread(world: World) -> None:
    world.store.create(world.key("a"), b"1")
    index = world.store.list(world.prefix).index
    for client in (world.clone(), world.another()):
        assert client.get(world.key("a")) is not None
        call = Call(lambda client=client: client.watch(world.prefix, index, 60))  # type: ignore[misc]  # as above
        assert call.running(0.1)
        client.close()
        with pytest.raises(StoreUnavailable):
            call.result()
        with pytest.raises(StoreUnavailable):
            client.get(world.key("a"))
        client.close()
    assert world.store.get(world.key("a")) is not None


# --- sessions ---


def test_a_held_key_is_refused_to_others_until_it_is_let_go(world: World) -> None:
    key = world.key("lock")
    one, other = (world.store.open_session(name, ttl=60, checked=False) for name in ("one", "other"))
    assert one != other
    assert world.store.acquire(key, b"1", one)
    assert entry(world, "lock").session == one
    assert not world.store.acquire(key, b"2", other)
    assert not world.store.release(key, b"2", other)
    assert world.store.acquire(key, b"3", one)
    assert (entry(world, "lock").value, entry(world, "lock").session) == (b"3", one)
    assert world.store.release(key, b"4", one)
    assert (entry(world, "lock").value, entry(world, "lock").session) == (b"4", "")
    assert not world.store.release(key, b"5", one)
    assert world.store.acquire(key, b"6", other)
    world.store.transact([CheckSession(key, other)])
    with pytest.raises(Conflict):
        world.store.transact([CheckSession(key, one)])


def test_holding_again_with_the_same_value_moves_nothing(world: World) -> None:
    key = world.key("lock")
    session = world.store.open_session("one", ttl=60, checked=False)
    assert world.store.acquire(key, b"1", session)
    before = entry(world, "lock")
    assert world.store.acquire(key, b"1", session)
    assert entry(world, "lock") == before


def test_an_equal_write_of_a_key_that_was_acquired_is_a_change_once(world: World) -> None:
    key = world.key("lock")
    session = world.store.open_session("one", ttl=60, checked=False)
    assert world.store.acquire(key, b"1", session)
    assert world.store.release(key, b"1", session)
    before = version(world, "lock")
    world.store.transact([Set(key, b"1")])
    after = version(world, "lock")
    assert after > before
    world.store.transact([Set(key, b"1")])
    assert version(world, "lock") == after


def test_the_end_of_a_session_lets_its_keys_go_at_once(world: World) -> None:
    session = world.store.open_session("one", ttl=60, checked=False)
    for name in ("a", "b"):
        assert world.store.acquire(world.key(name), name.encode(), session)
    watching = world.another()
    index = watching.list(world.prefix).index
    call = Call(lambda: watching.watch(world.prefix, index, 60))
    world.store.end_session(session)
    listing = call.result()
    assert [(found.value, found.session) for found in listing.entries] == [(b"a", ""), (b"b", "")]
    assert {found.version for found in listing.entries} == {listing.index}
    # There is no lock-delay: others may hold them in the same moment.
    other = world.store.open_session("other", ttl=60, checked=False)
    assert world.store.acquire(world.key("a"), b"c", other)


@pytest.mark.parametrize("gone", [NOBODY, "", "no session's id", "ended"])
def test_a_session_that_is_gone(world: World, gone: str) -> None:
    if gone == "ended":
        gone = world.store.open_session("ended", ttl=60, checked=False)
        world.store.end_session(gone)
    if gone:
        assert not world.store.renew_session(gone)
        world.store.end_session(gone)
    assert not world.store.acquire(world.key("lock"), b"1", gone)
    assert not world.store.release(world.key("lock"), b"1", gone)
    assert world.store.get(world.key("lock")) is None


def test_a_plain_write_overwrites_a_held_key_and_leaves_it_held(world: World) -> None:
    key = world.key("lock")
    session = world.store.open_session("one", ttl=60, checked=False)
    assert world.store.acquire(key, b"1", session)
    world.store.transact([Set(key, b"2")])
    assert (entry(world, "lock").value, entry(world, "lock").session) == (b"2", session)
    world.store.swap(key, b"3", version(world, "lock"))
    assert (entry(world, "lock").value, entry(world, "lock").session) == (b"3", session)
    world.store.delete(key, version(world, "lock"))
    assert not world.store.release(key, b"4", session)
    assert world.store.acquire(key, b"5", session)


def test_a_session_lives_on_when_its_client_is_closed(world: World) -> None:
    client = world.another()
    session = client.open_session("one", ttl=60, checked=True)
    assert client.acquire(world.key("lock"), b"1", session)
    client.close()
    assert world.store.renew_session(session)
    assert entry(world, "lock").session == session


@pytest.mark.parametrize("ttl", [1, 10, 10.5, 60.0, 86400])
def test_sessions_of_any_length(world: World, ttl: float) -> None:
    session = world.store.open_session("one", ttl=ttl, checked=False)
    assert world.store.renew_session(session)
    world.store.end_session(session)


# --- this machine ---


def test_the_machine_has_a_name(world: World) -> None:
    assert world.store.node_name()
    assert isinstance(world.store.node_address(), str)
    assert world.clone().address == world.store.address


def test_a_clone_of_a_closed_client_works(world: World) -> None:
    client = world.another()
    client.close()
    clone = world.keep(client.clone())
    world.store.create(world.key("a"), b"1")
    eventually(lambda: clone.get(world.key("a")) is not None)
