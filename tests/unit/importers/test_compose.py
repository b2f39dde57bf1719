"""What becomes of the forms that a Compose file may have."""

from __future__ import annotations

from typing import Any

import pytest

from roj.api.app import Container
from roj.api.faults import InvalidInput
from roj.cli.flags import parsed
from roj.importers.compose import import_compose
from roj.importers.compose_project import Surroundings
from roj.importers.notes import Imported

FILES = {
    "/srv/shop/web.env": "# colours\nCOLOR=red\nLITERAL='$COLOR'\nMIXED=\"$COLOR\\n\"\nUSER_NAME\n",
    "/srv/shop/.env": "TAG=1.27\nCOLOR=blue\n",
}


def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


def imported(text: str, *services: str, **images: str) -> Imported:
    around = Surroundings("/srv/shop", {"HOME": "/home/me", "USER_NAME": "me", "EMPTY": ""}, read)
    return import_compose(parsed(text, "f", []), around, "f", services=services, images=images)


def web(**service: Any) -> tuple[Container | None, dict[str, tuple[str, str]]]:
    """The container of a file with one service, and what is told by place within the service."""
    around = Surroundings("/srv/shop", {"HOME": "/home/me", "USER_NAME": "me", "EMPTY": ""}, read)
    document = {
        "services": {"web": {"image": "i", "restart": "always", **service}},
        "volumes": {"data": None},
    }
    done = import_compose(document, around, "f")
    told = {note.place.removeprefix("services.web."): (str(note.kind), note.words) for note in done.notes}
    return done.spec.containers[0] if done.spec else None, told


def field(name: str, **service: Any) -> Any:
    container, told = web(**service)
    assert container is not None
    assert not [words for kind, words in told.values() if kind == "refused"], told
    return container.model_dump(mode="json")[name]


def refusal(place: str, **service: Any) -> str:
    _, told = web(**service)
    assert told[place][0] == "refused", told
    return told[place][1]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [(80, None, "tcp")]),
        (80, [(80, None, "tcp")]),
        ("8080:80", [(80, 8080, "tcp")]),
        ("0.0.0.0:8080:80/udp", [(80, 8080, "udp")]),
        ("3000-3001", [(3000, None, "tcp"), (3001, None, "tcp")]),
        ("9090-9091:80-81", [(80, 9090, "tcp"), (81, 9091, "tcp")]),
        ({"target": 80, "published": "8080", "protocol": "udp", "mode": "host"}, [(80, 8080, "udp")]),
        ({"target": "80"}, [(80, None, "tcp")]),
    ],
)
def test_ports(text: object, ports: list[tuple[int, int | None, str]]) -> None:
    found = [(port["container"], port["host"], port["protocol"]) for port in field("ports", ports=[text])]
    assert found == ports


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("127.0.0.1:80:80", "127.0.0.1"),
        ("[::1]:80:80", "::1"),
        ("8000-8010:80", "ranges differ"),
        ("1-65535", "up to 1000"),
        ("80:80/sctp", "sctp"),
        ("0:80", "no port"),
        ("web", "is no port"),
        ({"target": 80, "host_ip": "10.0.0.1"}, "10.0.0.1"),
        ({"target": 80, "colour": "red"}, "colour"),
    ],
)
def test_ports_that_are_refused(text: object, why: str) -> None:
    _, told = web(ports=[text])
    refused = [words for kind, words in told.values() if kind == "refused"]
    assert any(why in words for words in refused), told


@pytest.mark.parametrize(
    ("volume", "taken"),
    [
        ("data:/data", "shop_data:/data"),
        ("data:/data:ro", "shop_data:/data:ro"),
        ("./conf:/etc/conf:ro", "/srv/shop/conf:/etc/conf:ro"),
        ("../x:/x", "/srv/x:/x"),
        ("~/x:/x:cached", "/home/me/x:/x"),
        ("/abs:/x/", "/abs:/x"),
        ("/var/lib/db", "shop_web_var_lib_db:/var/lib/db"),
        ({"type": "bind", "source": "conf", "target": "/x", "read_only": True}, "/srv/shop/conf:/x:ro"),
        ({"type": "volume", "source": "data", "target": "/x"}, "shop_data:/x"),
    ],
)
def test_volumes(volume: object, taken: str) -> None:
    assert field("volumes", volumes=[volume]) == [taken]


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ("other:/x", "'other' is not among the file's volumes"),
        ("/a:/b:z", "'z'"),
        ("data:relative", "begins with '/'"),
        ({"type": "npipe", "source": "a", "target": "/x"}, "npipe"),
        ({"type": "volume", "source": "data", "target": "/x", "volume": {"subpath": "y"}}, "subpath"),
        (
            {"type": "bind", "source": "/a", "target": "/x", "bind": {"create_host_path": False}},
            "Docker makes",
        ),
        ({"source": "data"}, "no target"),
    ],
)
def test_volumes_that_are_refused(volume: object, why: str) -> None:
    _, told = web(volumes=[volume])
    assert any(kind == "refused" and why in words for kind, words in told.values()), told


def test_memory_as_a_volume() -> None:
    volume = {"type": "tmpfs", "target": "/run", "tmpfs": {"size": 10000, "mode": 0o700}}
    assert field("tmpfs", volumes=[volume], tmpfs="/tmp") == ["/run:size=10000,mode=700", "/tmp"]


def test_variables() -> None:
    text = "$TAG ${TAG} ${TAG:-x} ${NONE:-x} ${EMPTY-x} ${EMPTY:-x} ${NONE-${TAG}} ${TAG:+y} ${NONE:+y} $$TAG $1 $ a$"
    assert field("env", environment={"A": text})["A"] == "1.27 1.27 1.27 x  x 1.27 y  $TAG $1 $ a$"
    _, told = web(environment={"A": "$NONE!"})
    assert told["environment.A"] == ("taken", "")
    done = imported("services: {web: {image: 'nginx:$TAG', environment: {A: $NONE}}}")
    assert [n.words for n in done.notes if n.place == "services.web.environment.A"] == [
        "NONE is not set: an empty text takes its place, as Compose has it",
        "",
    ]
    assert done.spec is not None and done.spec.containers[0].image == "nginx:1.27"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${NONE:?say it}", "the variable NONE must be set: 'say it'"),
        ("${EMPTY:?}", "must be set"),
        ("${NONE", "is not closed"),
        ("${TAG/a/b}", "is no variable"),
    ],
)
def test_variables_that_are_refused(text: str, why: str) -> None:
    assert why in refusal("hostname", hostname=text)


def test_environment() -> None:
    env = field(
        "env",
        env_file="web.env",
        environment={"COLOR": "green", "N": 1, "B": True, "F": 1.5, "USER_NAME": None, "NONE": None},
    )
    assert env == {
        "COLOR": "green", "LITERAL": "$COLOR", "MIXED": "blue\n", "USER_NAME": "me", "N": "1", "B": "true", "F": "1.5",
    }  # fmt: skip
    assert field("env", environment=["A=b=c", "USER_NAME", "NONE", "E="]) == {
        "A": "b=c",
        "USER_NAME": "me",
        "E": "",
    }


def test_files_of_the_environment() -> None:
    assert field("env", env_file=[{"path": "missing.env", "required": False}]) == {}
    assert "No such file" in refusal("env_file", env_file="missing.env")
    assert field("env", env_file=[{"path": "web.env", "format": "raw"}])["LITERAL"] == "'$COLOR'"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a 'b c' \"d\"", ["a", "b c", "d"]),
        (["a", "b c", 1], ["a", "b c", "1"]),
        (None, None),
    ],
)
def test_commands(command: object, words: list[str] | None) -> None:
    assert field("command", command=command) == words


def test_commands_that_are_refused() -> None:
    assert "cannot be split" in refusal("command", command="a 'b")
    assert "is empty" in refusal("command", command=[])
    assert "is empty" in refusal("entrypoint", entrypoint="")


def test_limits() -> None:
    found = field(
        "resources", mem_limit="512m", memswap_limit=-1, cpus="0.5", pids_limit=100, shm_size="64mb", ulimits={"nofile": 10},
        deploy={"resources": {"limits": {"memory": "1gb"}}},
    )  # fmt: skip
    assert (found["memory"], found["memory_swap"], found["cpus"]) == ("1GiB", "-1", 0.5)
    assert (found["pids"], found["shm"], found["ulimits"]) == (100, "64MiB", {"nofile": "10"})
    assert field("resources", mem_limit=0, pids_limit=-1, cpus=0)["memory"] is None


@pytest.mark.parametrize("policy", ["unless-stopped", "on-failure", "on-failure:3", None])
def test_restart(policy: str | None) -> None:
    _, told = web(restart=policy)
    assert told["restart"][0] == "changed"
    assert "`no`" in refusal("restart", restart="no")
    assert "`no`" in refusal("restart", restart=False)


def test_the_rest_that_is_taken() -> None:
    assert field("extra_hosts", extra_hosts=["db:10.0.0.1", "v6=[::1]"]) == {"db": "10.0.0.1", "v6": "::1"}
    assert field("stop", stop_signal="SIGQUIT", stop_grace_period="1m30s") == {
        "signal": "QUIT",
        "grace": "1m30s",
    }
    assert field("logging", logging={"driver": "none"}) == {"driver": "none", "options": {}}
    assert field("pull", pull_policy="never") == "never"
    assert field("labels", labels=["a=b", "c"]) == {"a": "b", "c": ""}
    assert field("read_only", read_only="${NONE:-true}") is True
    assert field("dns", dns="1.1.1.1") == ["1.1.1.1"]


@pytest.mark.parametrize(
    "service",
    [{"privileged": True}, {"network_mode": "host"}, {"cap_add": ["SYS_ADMIN"]}, {"pull_policy": "always"}, {"tty": True},
     {"healthcheck": {"test": ["CMD", "true"]}}, {"secrets": ["a"]}, {"scale": 2}, {"deploy": {"replicas": 3}}, {"nonsense": 1},
     {"networks": {"a": {"ipv4_address": "10.0.0.1"}}}, {"depends_on": {"web": {"condition": "service_healthy"}}}],
)  # fmt: skip
def test_what_is_refused(service: dict[str, Any]) -> None:
    container, told = web(**service)
    assert container is not None
    assert [words for kind, words in told.values() if kind == "refused" and words], told


def test_what_says_nothing_is_taken() -> None:
    _, told = web(privileged=False, cap_add=[], tty="${NONE:-false}", healthcheck=None)
    assert {told[key][0] for key in ("privileged", "cap_add", "tty", "healthcheck")} == {"taken"}


SHOP = """
services:
  web: {image: i, depends_on: [api], restart: always}
  tool: {image: i, profiles: [tools], restart: always}
  api: {image: i, depends_on: {db: {condition: service_started}}, restart: always}
  db: {image: i, restart: always}
"""


def names(done: Imported) -> list[str]:
    assert done.whole and done.spec is not None, done.notes
    return [container.name for container in done.spec.containers]


def test_services_and_their_order() -> None:
    assert names(imported(SHOP)) == ["db", "api", "web"]
    assert names(imported(SHOP, "api")) == ["db", "api"]
    assert names(imported(SHOP, "tool")) == ["tool"]
    assert any(n.place == "services.tool" and "profile" in n.words for n in imported(SHOP).notes)
    with pytest.raises(InvalidInput, match="none"):
        imported(SHOP, "none")


def test_circles_are_refused() -> None:
    done = imported("services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}")
    assert [note.place for note in done.notes if note.kind == "refused"] == ["services.a.depends_on[0]"]


def test_what_two_services_ask_for_is_told_at_its_place() -> None:
    done = imported("services: {a: {image: i, ports: ['80:80']}, b: {image: i, ports: ['81:81', '80:1']}}")
    assert [note.place for note in done.notes if note.kind == "refused"] == ["services.b.ports[1]"]
    assert done.spec is not None
    assert [len(container.ports) for container in done.spec.containers] == [1, 1]


def test_volumes_keep_the_name_that_they_have_on_the_node() -> None:
    done = imported(
        "name: My Shop\n"
        "services: {web: {image: i, volumes: ['a:/a', 'b:/b', 'cc:/c']}}\n"
        "volumes: {a: , b: {name: other}, cc: {external: true}, d: }\n"
    )
    assert done.spec is not None
    assert done.spec.containers[0].volumes == ("myshop_a:/a", "other:/b", "cc:/c")


def test_a_build_is_refused_without_an_image() -> None:
    text = "services: {web: {build: ., restart: always}}"
    done = imported(text)
    assert done.spec is None
    assert [note.place for note in done.notes if note.kind == "refused"] == ["services.web.build"]
    done = imported(text, web="registry.example/web:1")
    assert done.whole and done.spec is not None
    with pytest.raises(InvalidInput, match="api"):
        imported(text, api="x")


@pytest.mark.parametrize(
    "text", ["[]", "{}", "services: []", "services: {}", "web: {image: i}", "version: '3'"]
)
def test_what_is_no_compose_file(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no Compose file"):
        imported(text)
