"""What a runtime must do, whichever it is: cases that run against the simulated one and against a real Docker Engine."""

from __future__ import annotations

import threading

import pytest

from roj.runtime.interface import (
    ContainerSpec,
    ImageNotFound,
    InUse,
    NameTaken,
    NotFound,
    PortBinding,
    PortTaken,
    RegistryUnavailable,
    RestartPolicy,
    RuntimeEvent,
    RuntimeUnavailable,
    StartRefused,
)
from tests.unit.runtime.world import DEAF, LABEL, World, eventually

NOBODY = "0" * 64


def test_an_image_is_known_by_tag_id_and_digest_once_it_is_pulled(world: World) -> None:
    reference = world.image("web:known", "known")
    assert world.runtime.image(reference) is None
    told: list[str] = []
    image = world.runtime.pull(reference, told.append)
    assert reference in image.tags
    assert told[-1] == "pulling 100 %"
    assert [world.runtime.image(each) for each in (reference, image.id, *image.digests)] == [image] * (
        2 + len(image.digests)
    )
    assert image.digests
    assert image in world.runtime.images()
    world.runtime.remove_image(reference)
    assert world.runtime.image(reference) is None
    world.runtime.remove_image(reference)


def test_pulling_by_digest(world: World) -> None:
    reference = world.image("web:by-digest", "by digest")
    (digest,) = world.runtime.pull(reference).digests
    world.runtime.remove_image(reference)
    image = world.runtime.pull(digest)
    assert digest in image.digests
    assert world.runtime.image(digest) == image
    world.runtime.remove_image(image.id)


def test_pull_says_what_is_wrong(world: World) -> None:
    with pytest.raises(ImageNotFound):
        world.runtime.pull(world.missing_image())
    reference = world.image("web:back", "back")
    world.registry_down()
    try:
        with pytest.raises(RegistryUnavailable):
            world.runtime.pull(reference)
    finally:
        world.registry_up()
    assert reference in world.runtime.pull(reference).tags


def test_an_image_in_use_stays(world: World) -> None:
    id = world.create()
    used = world.runtime.container(id)
    with pytest.raises(InUse):
        world.runtime.remove_image(used.image)
    with pytest.raises(InUse):
        world.runtime.remove_image(used.image_id)
    assert world.runtime.image(used.image) is not None


def test_an_image_of_two_tags_is_untagged_one_by_one(world: World) -> None:
    one, two = world.image("two:a", "same"), world.image("two:b", "same")
    image = world.runtime.pull(one)
    assert world.runtime.pull(two).id == image.id
    with pytest.raises(InUse):
        world.runtime.remove_image(image.id)
    world.runtime.remove_image(one)
    assert world.runtime.image(one) is None
    assert world.runtime.image(two) is not None
    world.runtime.remove_image(two)
    assert world.runtime.image(image.id) is None


def test_a_tag_that_moved_leaves_its_containers_with_the_images_id(world: World) -> None:
    reference = world.image("moves:v1", "first")
    old = world.runtime.pull(reference)
    id = world.runtime.create(ContainerSpec(world.name(), reference, labels={LABEL: "1"}))
    new = world.runtime.pull(world.image("moves:v1", "second"))
    assert new.id != old.id
    (listed,) = (each for each in world.runtime.containers({LABEL: ""}) if each.id == id)
    assert (listed.image, listed.image_id) == (old.id, old.id)
    assert world.runtime.container(id).image == reference
    left = world.runtime.image(old.id)
    assert left is not None
    assert left.tags == ()


def test_create_needs_image_network_and_a_free_name(world: World) -> None:
    with pytest.raises(NotFound):
        world.runtime.create(ContainerSpec(world.name(), world.missing_image()))
    with pytest.raises(NotFound):
        world.create(network=NOBODY)
    name = world.name()
    world.create(name=name)
    with pytest.raises(NameTaken):
        world.create(name=name)


def test_a_new_container_is_created_and_not_started(world: World) -> None:
    port = PortBinding(80, "tcp", world.port())
    name, image = world.name(), world.here()
    id = world.create(name=name, ports=(port,), labels={"a": "b"})
    found = world.runtime.container(id)
    assert (found.id, found.name, found.image, found.state) == (id, name, image, "created")
    assert found.labels == {LABEL: "1", "a": "b"}
    assert (found.ports, found.configured_ports) == ((), (port,))
    assert (found.restart_policy, found.restart_count, found.exit_code, found.error) == ("no", 0, 0, "")
    assert found.created_at is not None
    assert (found.started_at, found.finished_at) == (None, None)


def test_start_stop_and_again(world: World) -> None:
    port = PortBinding(80, "tcp", world.port())
    id = world.running(ports=(port,))
    world.runtime.start(id)
    found = world.runtime.container(id)
    assert (found.state, found.ports) == ("running", (port,))
    assert found.started_at is not None
    assert world.runtime.port_in_use("tcp", port.host)
    assert not world.runtime.port_in_use("udp", port.host)
    world.runtime.stop(id, 10)
    world.runtime.stop(id, 10)
    found = world.runtime.container(id)
    assert (found.state, found.exit_code, found.ports) == ("exited", 0, ())
    assert found.finished_at is not None
    world.runtime.kill(id)
    world.runtime.start(id)
    assert world.runtime.container(id).state == "running"


def test_stop_of_one_that_does_not_listen_and_kill(world: World) -> None:
    deaf, other = world.running(command=DEAF), world.running()
    world.runtime.stop(deaf, 1)
    world.runtime.kill(other)
    assert [world.runtime.container(id).exit_code for id in (deaf, other)] == [137, 137]
    assert [world.runtime.container(id).state for id in (deaf, other)] == ["exited", "exited"]


def test_what_a_paused_container_takes(world: World) -> None:
    id = world.running()
    world.runtime.unpause(id)
    world.pause(id)
    assert world.runtime.container(id).state == "paused"
    with pytest.raises(StartRefused):
        world.runtime.start(id)
    with pytest.raises(InUse):
        world.runtime.remove(id)
    world.runtime.unpause(id)
    assert world.runtime.container(id).state == "running"
    world.pause(id)
    world.runtime.stop(id, 10)
    assert world.runtime.container(id).state == "exited"
    world.runtime.unpause(id)
    world.runtime.start(id)
    world.pause(id)
    world.runtime.kill(id)
    world.becomes(id, "exited")


def test_removal_is_without_force_and_at_most_once(world: World) -> None:
    id = world.running()
    with pytest.raises(InUse):
        world.runtime.remove(id)
    world.runtime.stop(id, 10)
    world.runtime.remove(id)
    world.runtime.remove(id)
    with pytest.raises(NotFound):
        world.runtime.container(id)


def test_nothing_is_done_to_nobody(world: World) -> None:
    for call in (
        lambda: world.runtime.start(NOBODY),
        lambda: world.runtime.stop(NOBODY, 1),
        lambda: world.runtime.kill(NOBODY),
        lambda: world.runtime.unpause(NOBODY),
        lambda: world.runtime.set_restart_policy(NOBODY, "no"),
        lambda: world.runtime.network(NOBODY),
    ):
        with pytest.raises(NotFound):
            call()
    world.runtime.remove(NOBODY)
    world.runtime.remove_network(NOBODY)


def test_a_command_that_is_not_in_the_image(world: World) -> None:
    id = world.create(command=("no-such-program",))
    with pytest.raises(StartRefused):
        world.runtime.start(id)
    found = world.runtime.container(id)
    assert (found.state, found.exit_code) == ("created", 127)
    assert "no-such-program" in found.error


def test_an_exit_code(world: World) -> None:
    id = world.running(command=("sh", "-c", "exit 3"))
    world.becomes(id, "exited")
    assert world.runtime.container(id).exit_code == 3


def test_a_port_of_another_container(world: World) -> None:
    port = PortBinding(80, "tcp", world.port())
    first, second = world.running(ports=(port,)), world.create(ports=(port,))
    with pytest.raises(PortTaken):
        world.runtime.start(second)
    found = world.runtime.container(second)
    assert (found.state, found.exit_code, found.ports) == ("created", 128, ())
    assert found.error
    world.runtime.stop(first, 10)
    world.runtime.start(second)
    found = world.runtime.container(second)
    assert (found.state, found.error) == ("running", "")


def test_a_port_of_another_program(world: World) -> None:
    port = PortBinding(80, "tcp", world.port())
    id = world.create(ports=(port,))
    with world.listener(port.host):
        assert world.runtime.port_in_use("tcp", port.host)
        with pytest.raises(PortTaken):
            world.runtime.start(id)
    assert not world.runtime.port_in_use("tcp", port.host)
    world.runtime.start(id)


def test_a_policy_restarts_what_crashed_and_not_what_was_stopped_or_killed(world: World) -> None:
    crashed, stopped, killed = (world.running() for _ in range(3))
    for id in (crashed, stopped, killed):
        world.runtime.set_restart_policy(id, "unless-stopped")
        assert world.runtime.container(id).restart_policy == "unless-stopped"
    world.runtime.stop(stopped, 10)
    world.runtime.kill(killed)
    world.crash(crashed)
    eventually(
        lambda: world.runtime.container(crashed), lambda it: (it.state, it.restart_count) == ("running", 1)
    )
    assert [world.runtime.container(id).state for id in (stopped, killed)] == ["exited", "exited"]


def test_a_crash_loop_goes_on_until_its_policy_is_taken_away_and_once_more(world: World) -> None:
    id = world.create(command=("sh", "-c", "exit 4"))
    world.runtime.set_restart_policy(id, "unless-stopped")
    world.runtime.start(id)
    eventually(
        lambda: world.runtime.container(id),
        lambda it: (it.state, it.restart_count > 2) == ("restarting", True),
    )
    with pytest.raises(InUse):
        world.runtime.remove(id)
    world.runtime.set_restart_policy(id, "no")
    eventually(lambda: world.runtime.container(id), lambda it: (it.state, it.exit_code) == ("exited", 4))
    world.runtime.start(id)
    eventually(lambda: world.runtime.container(id), lambda it: (it.state, it.restart_count) == ("exited", 0))


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_crash_loop_is_ended_by_hand(world: World, how: str) -> None:
    id = world.create(command=("sh", "-c", "exit 4"))
    world.runtime.set_restart_policy(id, "unless-stopped")
    world.runtime.start(id)
    eventually(
        lambda: world.runtime.container(id),
        lambda it: (it.state, it.restart_count > 2) == ("restarting", True),
    )
    if how == "kill":
        world.runtime.kill(id)
    else:
        world.runtime.stop(id, 1)
    world.becomes(id, "exited")
    world.runtime.remove(id)


def test_networks_by_label_and_their_containers(world: World) -> None:
    id = world.network()
    found = world.runtime.network(id)
    assert found in world.runtime.networks({LABEL: "1"})
    assert world.runtime.networks({LABEL: "another"}) == ()
    container = world.create(network=id)
    assert world.runtime.container(container).networks == (found.name,)
    assert world.runtime.network(id).containers == ()
    world.runtime.start(container)
    assert world.runtime.container(container).networks == (id,)
    assert world.runtime.network(id).containers == (container,)
    with pytest.raises(InUse):
        world.runtime.remove_network(id)
    world.runtime.stop(container, 10)
    world.runtime.remove_network(id)
    with pytest.raises(NotFound):
        world.runtime.network(id)
    with pytest.raises(StartRefused):
        world.runtime.start(container)
    assert world.runtime.container(container).state == "exited"


def test_subnets_do_not_overlap(world: World) -> None:
    subnet = next(world.subnets)
    world.runtime.create_network(world.name(), subnet, {LABEL: "1"})
    with pytest.raises(InUse):
        world.runtime.create_network(world.name(), subnet, {LABEL: "1"})


def test_two_networks_of_one_name_and_nothing_starts_on_either(world: World) -> None:
    name = world.name()
    first, second = world.network(name), world.network(name)
    assert first != second
    id = world.create(network=first)
    with pytest.raises(StartRefused, match="ambiguous"):
        world.runtime.start(id)
    world.runtime.remove_network(second)
    world.runtime.start(id)


def test_lists_are_by_label_in_order_of_names_with_the_stopped_ones(world: World) -> None:
    names = [world.name() for _ in range(3)]
    ids = {name: world.create(name=name, labels={"own": names[0], "odd": ""}) for name in reversed(names)}
    world.runtime.start(ids[names[1]])
    found = world.runtime.containers({"own": names[0]})
    assert [each.name for each in found] == sorted(names)
    assert {each.name: each.state for each in found} == {
        names[0]: "created",
        names[1]: "running",
        names[2]: "created",
    }
    assert world.runtime.containers({"own": "", LABEL: "1"}) == found
    assert world.runtime.containers({"own": names[1]}) == ()
    assert {each.id for each in world.runtime.containers()} >= set(ids.values())


class Listening:
    """Reads the event stream in a thread."""

    def __init__(self, world: World) -> None:
        self.seen: list[RuntimeEvent] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(world,), daemon=True)
        self._thread.start()
        eventually(lambda: self.of("reconnected"))

    def _read(self, world: World) -> None:
        for event in world.runtime.events(self._stop.is_set):
            self.seen.append(event)

    def of(self, kind: str) -> list[RuntimeEvent]:
        return [event for event in list(self.seen) if event.kind == kind]

    def actions(self, id: str) -> list[str]:
        return [event.action for event in self.of("container") if event.id == id]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_events_tell_what_happened_and_end_when_told(world: World) -> None:
    listening = Listening(world)
    assert listening.seen[0] == RuntimeEvent("reconnected", "")
    id = world.create(labels={"a": "b"})
    world.runtime.start(id)
    world.pause(id)
    world.runtime.unpause(id)
    world.runtime.stop(id, 10)
    world.runtime.start(id)
    world.crash(id)
    eventually(lambda: listening.actions(id).count("die") == 2)
    world.runtime.start(id)
    world.runtime.kill(id)
    eventually(lambda: listening.actions(id).count("die") == 3)
    world.runtime.remove(id)
    eventually(lambda: "destroy" in listening.actions(id))
    # Docker may tell of a pause twice: its record is behind when it is ended at once.
    actions = [action for action in listening.actions(id) if action not in ("pause", "unpause")]
    assert {"pause", "unpause"} <= set(listening.actions(id))
    assert actions == [
        *("create", "start"),
        *("kill", "die", "stop"),
        *("start", "die"),
        *("start", "kill", "die", "destroy"),
    ]
    assert all(
        event.labels["a"] == "b" and event.labels["name"]
        for event in listening.of("container")
        if event.id == id
    )
    network = world.network()
    world.runtime.remove_network(network)
    eventually(
        lambda: (
            {"create", "destroy"}
            <= {event.action for event in listening.of("network") if event.id == network}
        )
    )
    listening.close()


def test_the_event_stream_comes_back_with_the_daemon(world: World) -> None:
    listening = Listening(world)
    world.kill_daemon()
    with pytest.raises(RuntimeUnavailable):
        world.runtime.info()
    with pytest.raises(RuntimeUnavailable):
        world.runtime.containers()
    eventually(lambda: listening.of("cut"))
    world.start_daemon()
    eventually(lambda: len(listening.of("reconnected")) > 1)
    id = world.create()
    eventually(lambda: listening.actions(id))
    kinds = [event.kind for event in listening.seen if event.kind in ("cut", "reconnected")]
    assert kinds == ["reconnected", "cut", "reconnected"]
    listening.close()


POLICIES: tuple[RestartPolicy, ...] = ("no", "unless-stopped", "always")
PASTS = ("running", "stopped", "killed", "crashed", "created", "paused")


def _with_a_past(world: World, policy: RestartPolicy, past: str) -> str:
    id = world.create()
    if past != "created":
        world.runtime.start(id)
    match past:
        case "stopped":
            world.runtime.stop(id, 10)
        case "killed":
            world.runtime.kill(id)
        case "crashed":
            world.crash(id)
            world.becomes(id, "exited")
        case "paused":
            world.pause(id)
    world.runtime.set_restart_policy(id, policy)
    return id


@pytest.mark.parametrize(
    ("fate", "comes_back"),
    [
        ("kill", {("always", "running"), ("always", "stopped"), ("always", "killed"), ("always", "crashed"), ("always", "paused"), ("unless-stopped", "crashed")}),
        ("stop", {("always", "running"), ("always", "stopped"), ("always", "killed"), ("always", "crashed"), ("always", "paused"), ("unless-stopped", "running"), ("unless-stopped", "crashed"), ("unless-stopped", "paused")}),
        ("boot", {("always", "running"), ("always", "stopped"), ("always", "killed"), ("always", "crashed"), ("unless-stopped", "running"), ("unless-stopped", "crashed")}),
    ],
)  # fmt: skip
def test_what_comes_back_with_the_daemon(world: World, fate: str, comes_back: set[tuple[str, str]]) -> None:
    ids = {(policy, past): _with_a_past(world, policy, past) for policy in POLICIES for past in PASTS}
    if fate == "boot":
        world.boot()
    else:
        world.kill_daemon() if fate == "kill" else world.stop_daemon()
        world.start_daemon()

    def running() -> set[tuple[str, str]]:
        return {key for key, id in ids.items() if world.runtime.container(id).state == "running"}

    eventually(running, lambda found: found >= comes_back)
    assert running() == comes_back
    assert {world.runtime.container(id).state for key, id in ids.items() if key[1] == "created"} == {
        "created"
    }
    if fate == "boot":
        lost = ids["unless-stopped", "paused"]
        with pytest.raises(StartRefused):
            world.runtime.start(lost)
        world.runtime.unpause(lost)
        world.runtime.remove(lost)


def test_the_daemon_and_its_disk(world: World) -> None:
    info = world.runtime.info()
    assert info.id
    assert info.version
    assert world.runtime.info().id == info.id
    disk = world.runtime.disk_usage()
    assert disk is not None
    assert 0 < disk.used < disk.total


__all__ = [name for name in dir() if name.startswith("test_")]
