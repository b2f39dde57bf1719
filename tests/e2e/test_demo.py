"""`make demo` plays the tutorial to its end, on real engines and without any, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines import missing_rights
from engines.commands import plain_environment

SOURCES = Path(__file__).parents[2]
FOREIGN = {
    "CONSUL_HTTP_ADDR": "127.0.0.1:1",
    "ROJ_STORE": "consul://127.0.0.1:1",
    "DOCKER_HOST": "unix:///nowhere",
}
"""Settings of a user's, which would break whatever took them."""


def _started(*flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *flags],
        cwd=SOURCES,
        env=plain_environment() | FOREIGN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _played(*flags: str) -> str:
    with _started(*flags) as demo:
        out, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, out
    return out


def _typed(out: str) -> list[str]:
    """The commands, without what differs between runs."""
    return [re.sub(r"\d{4,5}|/tmp/\S+|web-\w{5}", "#", line) for line in out.splitlines() if "$ " in line]


def _places(out: str) -> set[Path]:
    return {Path(found) for found in re.findall(r"/tmp/roj-engines-\w+", out)}


def test_simulated() -> None:
    out = _played("--simulated")
    assert all(line.startswith("[simulated]") for line in out.splitlines())
    assert re.search(r"web-\w{5}  node1  web:v1  start  launched", out)
    assert "curl" not in out
    assert _places(out)
    assert not any(place.exists() for place in _places(out))


@pytest.mark.engines
def test_real() -> None:
    missing = missing_rights()
    assert missing is None, f"the engines cannot run here: {missing}"
    out = _played()
    assert re.search(r"web-\w{5}  node1  web:v1  start  launched", out)
    assert "\nweb v1\n" in out
    assert "[simulated]" not in out
    assert _places(out)
    assert not any(place.exists() for place in _places(out))
    words = [line.split()[1:3] for line in _typed(out)]
    verbs = "version create apps nodes agent nodes deploy instances undeploy instances events nodes"
    assert [step[1] for step in words if step[0] == "roj"] == verbs.split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(number: signal.Signals) -> None:
    """Its processes and its directory go, whatever ends it; what even the janitor missed, the next run sweeps."""
    seen = ""
    with _started("--simulated") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            seen += line
            if "roj deploy" in line:
                demo.send_signal(number)
                break
        seen += demo.stdout.read()
    assert demo.returncode in (130, -number)
    (place,) = _places(seen)
    deadline = time.monotonic() + 60
    while place.exists() or _naming(place):
        assert time.monotonic() < deadline, f"{place} is still there: {_naming(place)}"
        time.sleep(0.1)


def _naming(place: Path) -> list[str]:
    """Processes that name the place in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{place}/".encode() in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found
