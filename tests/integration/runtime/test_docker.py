"""What only a real Docker Engine can show: volumes, bystanders, many networks, many threads, and the machine as two see it."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engines.program import free_ports
from roj.api.options import Logging, Resources, Stop
from roj.environment import RealEnvironment
from roj.runtime.address import open_runtime
from roj.runtime.docker import DockerRuntime
from roj.runtime.interface import (
    ContainerSpec,
    ImageNotFound,
    PortBinding,
    RegistryUnavailable,
    RuntimeUnavailable,
)
from tests.integration.runtime.world import DockerWorld
from tests.unit.runtime.world import DEAF, FOREVER, LABEL, eventually

pytestmark = pytest.mark.engines


def test_what_is_published_is_served(world: DockerWorld) -> None:
    port = PortBinding(80, "tcp", free_ports(1)[0])
    world.running(command=None, ports=(port,))

    def page() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port.host, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            return str(error)
        finally:
            connection.close()

    eventually(page, lambda text: text == "web v1\n")


def test_environment_volumes_hostname_and_aliases_reach_the_container(
    world: DockerWorld, tmp_path: Path
) -> None:
    network = world.network()
    script = 'echo "$A $(hostname)" > /out/told; nslookup friend >> /out/told; exit 0'
    friend, asking = (
        ContainerSpec(
            world.name(),
            world.here(),
            command=command,
            env={"A": "b c"},
            volumes=(f"{tmp_path}:/out",),
            labels={LABEL: "1"},
            network=network,
            aliases=aliases,
            hostname="own-name",
        )
        for command, aliases in ((FOREVER, ("friend",)), (("sh", "-c", script), ()))
    )
    for spec in (friend, asking):
        id = world.runtime.create(spec)
        world.runtime.start(id)
    world.becomes(id, "exited")
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert told.startswith("b c own-name\n")
    assert "can't resolve" not in told
    assert "friend" in told


def test_anonymous_volumes_go_with_their_container_and_named_ones_stay(world: DockerWorld) -> None:
    def volumes() -> set[str]:
        return {volume["Name"] for volume in world.api.volumes()["Volumes"] or ()}

    before, name = volumes(), world.name()
    id = world.create(volumes=(f"{name}:/named", "/anonymous"))
    assert len(volumes() - before) == 2
    world.runtime.remove(id)
    assert volumes() - before == {name}
    world.api.remove_volume(name)


def test_a_policy_outlives_what_a_person_does_by_hand(world: DockerWorld) -> None:
    """`always` leaves what was killed, and is there again once a person has started it."""
    id = world.running(command=DEAF)
    world.runtime.set_restart_policy(id, "always")
    world.api.kill(id, signal="KILL")
    world.becomes(id, "exited")
    world.api.start(id)
    world.crash(id)
    eventually(lambda: world.runtime.container(id), lambda it: (it.state, it.restart_count) == ("running", 1))


def test_forty_networks(world: DockerWorld) -> None:
    networks = [world.network() for _ in range(40)]
    assert len(set(networks)) == 40
    assert {each.id for each in world.runtime.networks({LABEL: ""})} == set(networks)


def test_many_threads_share_one_runtime(world: DockerWorld) -> None:
    image = world.here()

    def one_life(number: int) -> list[str]:
        id = world.runtime.create(
            ContainerSpec(f"thread{number}", image, command=FOREVER, labels={LABEL: "t"})
        )
        seen: list[str] = [world.runtime.container(id).state]
        world.runtime.start(id)
        seen.append(world.runtime.container(id).state)
        world.runtime.stop(id, 10)
        seen.append(world.runtime.container(id).state)
        assert any(each.id == id for each in world.runtime.containers({LABEL: "t"}))
        world.runtime.remove(id)
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one_life, range(16))) == [["created", "running", "exited"]] * 16
    assert world.runtime.containers({LABEL: "t"}) == ()


def test_a_daemon_that_goes_and_comes_back_needs_no_new_runtime(world: DockerWorld) -> None:
    failures: list[Exception] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                world.runtime.containers()
            except RuntimeUnavailable as error:
                failures.append(error)
                ended.wait(0.01)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    world.engine.kill()
    eventually(lambda: failures)
    world.engine.start()
    world.runtime.info()
    ended.set()
    for thread in asking:
        thread.join()
    assert world.engine.url in str(failures[0])


def test_no_daemon_is_said_in_one_line(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    runtime = DockerRuntime(RealEnvironment(), url)
    with pytest.raises(
        RuntimeUnavailable, match=f"^Docker at {url} does not answer: No such file or directory$"
    ):
        runtime.info()
    runtime.close()
    with pytest.raises(RuntimeUnavailable):
        runtime.info()


def test_the_address_is_found_as_dockers_command_finds_it(world: DockerWorld, tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "DOCKER_HOST": world.engine.url}
    runtime = open_runtime(None, RealEnvironment(), variables)
    assert runtime.address == world.engine.url
    assert runtime.info().id == world.runtime.info().id
    runtime.close()


@pytest.mark.filterwarnings("ignore:docker-credential-no-such-helper not installed")
def test_credentials_that_cannot_be_had_stop_no_pull_of_what_is_public(
    world: DockerWorld, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "no-such-helper"}', encoding="utf-8")
    runtime = DockerRuntime(RealEnvironment(), world.engine.url, {"DOCKER_CONFIG": str(tmp_path)})
    assert world.image() in runtime.pull(world.image()).tags
    with pytest.raises(ImageNotFound):
        runtime.pull(world.missing_image())
    runtime.close()


def test_a_registry_that_does_not_exist(world: DockerWorld) -> None:
    with pytest.raises(RegistryUnavailable):
        world.runtime.pull("registry.invalid:1/web:v1")


def test_every_option_reaches_docker(world: DockerWorld) -> None:
    spec = ContainerSpec(
        world.name(), world.here(), labels={LABEL: "1"},
        entrypoint=("/bin/sh",), command=("-c", "sleep 60"), workdir="/tmp", user="1000:1000", hostname="host-1",
        tmpfs=("/run:size=1m",), read_only=True, init=True, cap_drop=("NET_RAW",), dns=("10.0.0.53",),
        extra_hosts={"db": "10.0.0.1"},
        resources=Resources.checked(
            {
                "memory": "64MiB", "memory_swap": "64MiB", "cpus": 0.5, "cpu_shares": 512, "cpuset": "0", "pids": 50,
                "shm": "1MiB", "ulimits": {"nofile": "100:200"},
            }
        ),
        stop=Stop(signal="QUIT", grace=2.5),
        logging=Logging(),
    )  # fmt: skip
    id = world.runtime.create(spec)
    world.runtime.start(id)
    found = world.api.inspect_container(id)
    config, host = found["Config"], found["HostConfig"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/sh"], ["-c", "sleep 60"])
    assert (config["WorkingDir"], config["User"], config["Hostname"]) == ("/tmp", "1000:1000", "host-1")
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGQUIT", 3)
    assert (host["Tmpfs"], host["ReadonlyRootfs"], host["Init"]) == ({"/run": "size=1m"}, True, True)
    assert (host["CapDrop"], host["Dns"], host["ExtraHosts"]) == (["NET_RAW"], ["10.0.0.53"], ["db:10.0.0.1"])
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 * 1024**2, 64 * 1024**2, 500_000_000)
    assert (host["CpuShares"], host["CpusetCpus"], host["PidsLimit"], host["ShmSize"]) == (
        512,
        "0",
        50,
        1024**2,
    )
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert world.runtime.container(id).stop_grace == 3
