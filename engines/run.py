"""One run's directory: where its engines live, and the record of all that has to be undone.

`/tmp/roj-engines-XXXX/` belongs to the process that holds the lock in it. Every program, namespace, network device and
subnet is noted in `record` before or as it comes to be. `clean` undoes all of it from that record alone, so it serves the
run itself at its end, the janitor when the run was killed, and the next run when the janitor was killed too.
"""

import atexit
import fcntl
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Self

from engines.commands import plain_environment, tried
from engines.packages import SOURCES, locked

PREFIX = "roj-engines-"
HOME = Path("/tmp")  # short, as the path of a unix socket is limited to 107 bytes; TMPDIR may be long


class Run:
    """The directory of this process's engines. `Run.current()` is made on first use and removed when the process ends."""

    _current: "Run | None" = None

    def __init__(self) -> None:
        sweep()
        with gate():  # a sweep never sees the directory without its lock
            self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=HOME))
            self._lock = (self.directory / "lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._owner = os.getpid()
        self._count = 0
        self._janitor = subprocess.Popen(
            [sys.executable, "-m", "engines.janitor", str(self.directory)],
            cwd=SOURCES,
            env=plain_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,  # its end is how the janitor learns of ours
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @classmethod
    def current(cls) -> Self:
        """The run of this process."""
        if cls._current is None or cls._current._owner != os.getpid():
            cls._current = cls()
            atexit.register(cls._current.close)
        assert isinstance(cls._current, cls)
        return cls._current

    def place(self, kind: str) -> Path:
        """A new directory of this run for one engine."""
        self._count += 1
        place = self.directory / f"{kind}{self._count}"
        place.mkdir()
        return place

    def note(self, kind: str, value: object) -> None:
        """Write down what has to be undone: `process` [pid, start], `namespace`, `device`, `subnet`, `place`."""
        with (self.directory / "record").open("a", encoding="utf-8") as record:
            record.write(json.dumps([kind, value]) + "\n")

    def close(self) -> None:
        """End everything that is left and remove the directory. Does nothing in a forked child, or a second time."""
        if os.getpid() != self._owner or self._lock.closed:
            return
        clean(self.directory)
        self._lock.close()
        if self._janitor.stdin:
            self._janitor.stdin.close()
        self._janitor.wait()
        if type(self)._current is self:
            type(self)._current = None


def sweep() -> None:
    """Clean what interrupted runs left; runs whose process lives are not touched."""
    for directory in sorted(HOME.glob(PREFIX + "*")):
        if not directory.is_dir() or directory.is_symlink() or directory.stat().st_uid != os.geteuid():
            continue
        with gate(), suppress(OSError), (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            clean(directory)


def clean(directory: Path) -> None:
    """Undo all that the record of a run names, then remove the directory. Does as much as it can; never raises."""
    noted = _record(directory)
    places = [directory, *(Path(str(value)) for kind, value in noted if kind == "place")]
    end_processes(
        [_Seen(*value) for kind, value in noted if kind == "process" and isinstance(value, list)], places
    )
    for place in places:
        unmount(place)
    subnets = [ipaddress.ip_network(str(value)) for kind, value in noted if kind == "subnet"]
    for bridge in {*bridges_of(directory), *(name for place in places for name in bridges_of(place))}:
        tried(["ip", "link", "delete", bridge])
    for device in _devices_within(subnets):
        tried(["ip", "link", "delete", device])
    for kind, value in reversed(noted):
        if kind == "device":
            tried(["ip", "link", "delete", str(value)])
        elif kind == "namespace":
            tried(["ip", "netns", "delete", str(value)])
    remove_cgroups(directory.name)
    for _ in range(5):  # a process that is only just ending may still write
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.2)


class _Seen(tuple[int, str]):
    """A process as it was noted: id and start time, as an id alone may be another's by now."""

    __slots__ = ()

    def __new__(cls, pid: int, start: str) -> Self:
        return super().__new__(cls, (pid, start))


def started(pid: int) -> str:
    """When a process started, in clock ticks since boot, with the boot's id; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else f"{fields[19]}@{boot}"


def end_processes(noted: list[_Seen], places: list[Path]) -> None:
    """Kill the noted processes, all that name a file under `places` in their arguments, and what those shims hold.

    containerd's shims name its socket; a container's processes are children of its shim.
    """
    for _ in range(50):
        doomed = {pid for pid, start in noted if started(pid) == start}
        named = _naming(places)
        doomed |= named | _descendants(named | doomed)
        doomed -= {os.getpid(), os.getppid(), 1}
        if not doomed:
            return
        for pid in sorted(doomed, reverse=True):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in doomed:
            with suppress(ChildProcessError, OSError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


def _naming(places: list[Path]) -> set[int]:
    needles = [f"{place}/".encode() for place in places]
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and started(int(entry.name)):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if any(needle in words for needle in needles):
                    found.add(int(entry.name))
    return found


def _descendants(roots: set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                stat = (
                    (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
                if stat[0] not in "ZX":
                    children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def unmount(place: Path) -> None:
    """Detach every mount under `place`, the innermost first."""
    for _ in range(3):  # mounts may lie over each other
        points = []
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            point = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), line.split()[4])
            if point.startswith(f"{place}/"):
                points.append(point)
        if not points:
            return
        for point in sorted(points, key=len, reverse=True):
            tried(["umount", "-l", point])


def bridges_of(place: Path) -> set[str]:
    """The bridges of the networks that a Docker Engine with its data under `place` had made (its database names them)."""
    names = set()
    for database in place.glob("**/network/files/local-kv.db"):
        with suppress(OSError):
            for found in re.findall(rb"network/v1\.0/bridge/([0-9a-f]{64})/", database.read_bytes()):
                names.add("br-" + found[:12].decode())
    return {name for name in names if Path("/sys/class/net", name).exists()}


def _devices_within(subnets: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> list[str]:
    if not subnets:
        return []
    found = []
    for device in json.loads(tried(["ip", "-json", "-4", "address"]).stdout or "[]"):
        for address in device.get("addr_info", []):
            if any(ipaddress.ip_address(address["local"]) in subnet for subnet in subnets):
                found.append(device["ifname"])
    return found


def remove_cgroups(name: str) -> None:
    """Remove the (empty) control groups called `name` and all in them, of both kinds of hierarchy."""
    for top in [Path("/sys/fs/cgroup", name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
        for directory, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(directory).rmdir()


def noted_subnets() -> dict[str, None]:
    """The subnets that all runs of this machine have noted, living or not cleaned yet."""
    noted = (entry for directory in sorted(HOME.glob(PREFIX + "*")) for entry in _record(directory))
    return {str(value): None for kind, value in noted if kind == "subnet"}


def _record(directory: Path) -> list[tuple[str, object]]:
    noted = []
    with suppress(OSError):
        for line in (directory / "record").read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a run that was killed may be cut short
                kind, value = json.loads(line)
                noted.append((str(kind), value))
    return noted


def gate() -> AbstractContextManager[None]:
    """Held while runs begin, are swept or choose what must not be chosen twice."""
    return locked(HOME / f"roj-engines.{os.geteuid()}.lock")
