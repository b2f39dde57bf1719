"""`roj agent` and `roj node gc` as commands: flags, exit codes, what is printed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roj.agent.http import Answer, Endpoint
from roj.agent.options import AgentOptions
from roj.api import keys
from roj.cli.main import run
from roj.environment import RealEnvironment
from roj.runtime.simulated import Machine, SimulatedRuntime
from roj.store.embedded import EmbeddedStore
from tests.unit.store.scripted import Scripted, answer

ROWS = [
    {"what": "image", "id": "web:1", "name": "web:1", "why": "nothing uses it", "size": 5_000_000},
    {"what": "network", "id": "abc", "name": "roj-x", "why": "web-a is gone", "size": 0},
]


def test_every_bad_flag_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "agent --node Not_A_Name! --resync soon --once-timeout x --http nowhere --port-range 9-1 --network-pool "
        "10.0.0.1/16 --label nonsense --label a=1 --label a=2 --reap-unclaimed y --without nobody --image-gc-high 50 --image-gc-low 60"
    )
    assert run(words.split(), variables={}) == 2
    said = capsys.readouterr().err
    for flag in (
        "--node", "--resync", "--once-timeout", "--http", "--port-range", "--network-pool", "--label",
        "--reap-unclaimed", "--without", "--image-gc-low",
    ):  # fmt: skip
        assert f"  {flag}: " in said
    assert "  --label: a is given twice" in said


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--network-pool", "x", "'x' is no IPv4 network: write an IPv4 network of a /28 or wider, as in 10.213.0.0/16"),
        ("--network-pool", "fd00::/8", "is no IPv4 network"),
        ("--network-pool", "10.0.0.0/33", "is no IPv4 network"),
        ("--network-pool", "10.0.0.0/29", "'10.0.0.0/29' is too narrow: write an IPv4 network of a /28 or wider"),
        ("--network-pool", "10.0.0.1/16", "is an address within a network: write 10.0.0.0/16, or another network"),
        ("--port-range", "1-" + "9" * 5000, "is no range of ports: write FIRST-LAST"),
        ("--resync", "0.5", "'0.5' is too short: 1s is the least"),
        ("--once-timeout", "inf", "'inf' is no duration: write it as 500ms, 60s, 2m, 1h30m or in seconds"),
        ("--reap-unclaimed", "9999999d", "'9999999d' is too long: 3650d is the most"),
        ("--http", "nowhere", "HOST:PORT"),
        ("--http", "a:" + "9" * 5000, "HOST:PORT"),
    ],
)  # fmt: skip
def test_a_bad_flag_says_what_is_expected(
    flag: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["agent", flag, value], variables={}) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"roj: {flag}: ")
    assert words in said


def test_no_flag_of_the_agent_is_just_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "--help"], variables={}) == 0
    assert "TEXT" not in capsys.readouterr().out


def test_flags_become_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[AgentOptions] = []

    def started(options: AgentOptions, variables: object) -> int:
        seen.append(options)
        return 3

    monkeypatch.setattr("roj.agent.process.run", started)
    words = (
        "agent --node n1 --state-dir /s --docker unix:///d --resync 90s --once --once-timeout 2m --http [::1]:1 "
        "--port-range 1-2 --network-pool 10.0.0.0/8 --label a=b=c --takeover --reap-unclaimed 1d --image-gc-high 70 "
        "--image-gc-low 60 --collect-shared-images --without deploy --log-format json --log-level debug "
        "--store sqlite:///x"
    )
    assert run(words.split(), variables={}) == 3
    assert seen == [
        AgentOptions(
            node="n1", state_dir=Path("/s"), docker="unix:///d", store="sqlite:///x", resync=90.0, once=True,
            once_timeout=120.0, http="[::1]:1", port_range=(1, 2), network_pool="10.0.0.0/8",
            labels=(("a", "b=c"),), takeover=True, reap_unclaimed=86400.0, image_gc_high=0.7, image_gc_low=0.6,
            collect_shared_images=True, without=("deploy",), log_format="json", log_level="debug",
        )
    ]  # fmt: skip
    assert run(["agent"], variables={}) == 3
    assert seen[1] == AgentOptions()


@contextmanager
def _served(directory: Path, answer: Answer) -> Iterator[list[bool]]:
    asked: list[bool] = []

    def collect(do: bool) -> Answer:
        asked.append(do)
        return answer

    endpoint = Endpoint(
        RealEnvironment(), directory, None,
        metrics=str, healthy=lambda: None, ready=lambda: None, collect=collect,
    )  # fmt: skip
    try:
        yield asked
    finally:
        endpoint.close()


def test_gc_prints_what_the_agent_would_remove_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--state-dir", str(tmp_path)]
    with _served(tmp_path, (200, "application/json", json.dumps(ROWS))) as asked:
        assert run(["node", "gc", "n1", "--dry-run", "-o", "json", *place], variables={}) == 0
        said = capsys.readouterr()
        assert json.loads(said.out) == ROWS
        assert "2 would be removed" in said.err
        assert run(["node", "gc", "n1", *place], variables={}) == 0
        said = capsys.readouterr()
        assert "5.0 MB" in said.out and "web-a is gone" in said.out
        assert "2 removed" in said.err
    assert asked == [False, True]


@pytest.mark.parametrize(("rows", "code"), [(ROWS, 10), ([], 0)])
def test_gc_tells_by_its_exit_code_whether_there_is_garbage(
    rows: list[dict[str, object]], code: int, tmp_path: Path
) -> None:
    words = ["node", "gc", "n1", "--state-dir", str(tmp_path)]
    with _served(tmp_path, (200, "application/json", json.dumps(rows))) as asked:
        assert run([*words, "--dry-run", "--exit-code"], variables={}) == code
        assert run([*words, "--dry-run"], variables={}) == 0
        assert run([*words, "--exit-code"], variables={}) == 2
    assert asked == [False, False]


@pytest.mark.parametrize(("status", "code"), [(503, 6), (500, 1)])
def test_gc_says_why_the_agent_refuses(
    status: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _served(tmp_path, (status, "text/plain", "nothing is collected: so it is\n")):
        assert run(["node", "gc", "n1", "--state-dir", str(tmp_path)], variables={}) == code
    assert "so it is" in capsys.readouterr().err


def test_gc_where_no_agent_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "gc", "n1", "--state-dir", str(tmp_path)], variables={}) == 6
    said = capsys.readouterr().err
    assert "no agent of n1 answers at" in said and "on the node itself" in said
    (tmp_path / "agent.sock").write_text("")
    assert run(["node", "gc", "n1", "--state-dir", str(tmp_path)], variables={}) == 6
    assert run(["node", "gc", "Not a name"], variables={}) == 2


@pytest.mark.parametrize(
    ("answered", "code", "words"),
    [
        (answer("403 Forbidden", "Permission denied"), 7, ["without a token", "CONSUL_HTTP_TOKEN", "--node NAME"]),
        (answer("500 Oops", "No cluster leader"), 6, ["No cluster leader", "--node NAME"]),
    ],
)  # fmt: skip
def test_an_agent_that_is_not_told_its_name_says_why(
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answered: bytes,
    code: int,
    words: list[str],
) -> None:
    monkeypatch.setattr("roj.agent.process.default_state_directory", lambda node: tmp_path / node)
    with Scripted(lambda _: answered) as consul:
        found = run(["agent", "--docker", "simulated:"], variables={"ROJ_STORE": consul.url})
    said = capsys.readouterr().err
    assert found == code, said
    for word in words:
        assert word in said, said


def _file(directory: Path) -> Path:
    file = directory / "file"
    file.touch()
    return file


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (lambda tmp: _file(tmp) / "sub", ["file is no directory", "Move it away"]),
        (lambda _: Path("/proc/roj/x"), ["/proc is there, what is below it is not"]),
        (lambda _: Path("/sys/roj"), ["may not make it in /sys", "Run the agent as the user that owns it"]),
        (lambda _: Path("/dev/null"), ["/dev/null is no directory"]),
    ],
)
def test_a_state_directory_that_cannot_be_used_says_what_why_and_what_to_do(
    place: Callable[[Path], Path], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = place(tmp_path)
    store = f"sqlite:///{tmp_path / 'store'}"
    agent = ["agent", "--node", "n1", "--docker", "simulated:", "--store", store, "--once"]
    for command in ([*agent, "--state-dir"], ["dev", "--docker", "simulated:", "--dir"]):
        assert run([*command, str(directory)], variables={}) == 2
        said = capsys.readouterr().err
        for each in (f"the state directory {directory} cannot be used", "--state-dir", *words):
            assert each in said, said
        assert "Errno" not in said and "Consul" not in said


def test_a_state_directory_that_may_not_be_written_or_is_full_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path / 'store'}"
    words = ["agent", "--node", "n1", "--docker", "simulated:", "--store", store, "--once", "--state-dir"]
    monkeypatch.setattr("roj.agent.state_directory.os.access", lambda *_: False)
    assert run([*words, str(tmp_path / "locked")], variables={}) == 2
    assert f"user id {os.geteuid()} may not write to it" in capsys.readouterr().err
    monkeypatch.undo()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("roj.agent.state_directory.os.fsync", full)
    assert run([*words, str(tmp_path / "full")], variables={}) == 2
    said = capsys.readouterr().err
    assert "cannot be used: No space left on device" in said and "Make room there" in said


@pytest.mark.parametrize("lose", [Path.unlink, lambda file: file.write_bytes(b"damaged")])
def test_an_agent_whose_identity_is_lost_or_damaged_keeps_its_lease(
    lose: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = RealEnvironment()
    store, docker = EmbeddedStore(environment, tmp_path / "store"), Machine(environment)
    monkeypatch.setattr("roj.agent.process.open_runtime", lambda *_: SimulatedRuntime(environment, docker))
    words = f"agent --node n1 --once --store sqlite:///{tmp_path}/store".split()
    state = tmp_path / "state"
    assert run([*words, "--state-dir", str(state)], variables={}) == 0
    lease = store.get(keys.lease("n1"))
    assert lease is not None
    session = store.open_session("of one that was killed", ttl=600.0, checked=False)
    assert store.acquire(lease.key, lease.value, session)
    lose(state / "identity")
    assert run([*words, "--state-dir", str(state)], variables={}) == 0
    assert run([*words, "--state-dir", str(tmp_path / "another")], variables={}) == 0
    session = store.open_session("of one that was killed", ttl=600.0, checked=False)
    assert store.acquire(lease.key, lease.value, session)
    assert run([*words, "--state-dir", str(tmp_path / "another")], variables={}) == 5
    store.close()
