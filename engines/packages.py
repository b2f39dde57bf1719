"""Programs that are missing: fetched beside the sources, or installed.

Consul, the registry and busybox are plain programs: their Debian packages are downloaded and unpacked under `.engines/`
with a source list, lists and cache of our own, so the system's apt stays as it was. The source list is made from the
machine's own entries (same address and key), because a machine may reach only a mirror. Only Docker is installed.
"""

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.commands import SEARCH_PATH, is_root, plain_environment, ran, tried
from engines.errors import EngineError

SOURCES = Path(__file__).resolve().parent.parent
FETCHED = SOURCES / ".engines"
PACKAGES = ("consul", "docker-registry", "busybox-static")
CONSUL_SUITE = "bullseye"  # the last Debian release that has Consul
_DONE = "fetched"


def consul_program() -> Path:
    """Path of `consul`, fetched if need be. Raises EngineError."""
    return _fetched("usr/bin/consul")


def registry_program() -> Path:
    """Path of `docker-registry`, fetched if need be. Raises EngineError."""
    return _fetched("usr/bin/docker-registry")


def busybox_program() -> Path:
    """Path of a static busybox, fetched if need be. Raises EngineError."""
    return _fetched("bin/busybox", "usr/bin/busybox")


def _fetched(*places: str) -> Path:
    fetch()
    for place in places:
        if (FETCHED / place).is_file():
            return FETCHED / place
    raise EngineError(f"none of {', '.join(places)} in {FETCHED}; remove that directory to fetch again")


def fetch() -> None:
    """Fetch and unpack what is missing under `.engines/`; runs side by side wait for each other.

    Raises EngineError where apt cannot.
    """
    if (FETCHED / _DONE).exists():
        return
    FETCHED.mkdir(exist_ok=True)
    with locked(FETCHED / "lock"):
        if (FETCHED / _DONE).exists():
            return
        say(f"Fetching {', '.join(PACKAGES)} into {FETCHED.name}/ (the system's apt stays as it was)")
        apt = FETCHED / "apt"
        shutil.rmtree(apt, ignore_errors=True)
        for part in ("lists/partial", "cache/archives/partial", "download"):
            (apt / part).mkdir(parents=True)
        listing = apt / "sources.list"
        listing.write_text("\n".join(source_lines()) + "\n", encoding="utf-8")
        command = [
            "apt-get",
            "-q",
            *("-o", f"Dir::Etc::SourceList={listing}"),
            *("-o", "Dir::Etc::SourceParts=-"),
            *("-o", f"Dir::State::Lists={apt / 'lists'}"),
            *("-o", f"Dir::Cache={apt / 'cache'}"),
            *("-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Retries=3"),
            *("-o", "APT::Sandbox::User=root"),  # the unprivileged user of apt cannot write here
            *("-o", "APT::Update::Error-Mode=any"),
        ]
        environment = _apt_environment()
        ran([*command, "update"], environment=environment, timeout=600)
        ran([*command, "download", *PACKAGES], cwd=apt / "download", environment=environment, timeout=600)
        for package in sorted((apt / "download").glob("*.deb")):
            ran(["dpkg-deb", "-x", str(package), str(FETCHED)], timeout=120)
        shutil.rmtree(apt)
        (FETCHED / _DONE).touch()


def install_docker() -> None:
    """Install Docker Engine and iptables with apt-get where they are missing; says so first.

    Raises EngineError: no root, or apt could not.
    """
    with locked(Path(f"/tmp/roj-engines-install.{os.geteuid()}.lock")):
        wanted = []
        if not _present("dockerd") or not _present("containerd"):
            wanted.append("docker.io")
        if not _present("iptables"):
            wanted.append("iptables")
        if not _present("ip"):
            wanted.append("iproute2")
        if _apparmor_enforced() and not _present("apparmor_parser"):
            wanted.append("apparmor")  # without its parser dockerd starts no container on such a kernel
        if not wanted:
            return
        if not is_root():
            raise EngineError(
                f"{', '.join(wanted)} must be installed and this is not root: use `make`, or sudo"
            )
        say(f"Installing {', '.join(wanted)} with apt-get: not on this machine yet")
        command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
        environment = _apt_environment()
        tried(
            [*command, "update"], environment=environment, timeout=600
        )  # one dead source of many is no reason
        ran(
            [*command, "install", "-y", "--no-install-recommends", *wanted],
            environment=environment,
            timeout=1200,
        )


def source_lines(etc: Path = Path("/etc/apt"), codename: str | None = None) -> list[str]:
    """One-line apt entries for this machine's own suite and for Consul's, at the machine's own Debian address.

    Raises EngineError where no entry of the machine names its Debian release.
    """
    codename = codename or _codename()
    for source in _sources(etc):
        if codename in source.suites and "main" in source.components:
            suites = dict.fromkeys((CONSUL_SUITE, codename))
            return [
                f"deb {source.options}{source.address} {suite} main".replace("  ", " ") for suite in suites
            ]
    raise EngineError(f"no apt source of Debian {codename} (component main) found in {etc}")


@dataclass(frozen=True)
class _Source:
    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: str  # "[signed-by=...] " or nothing


def _sources(etc: Path) -> Iterator[_Source]:
    parts = etc / "sources.list.d"
    for path in sorted(parts.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            yield from _deb822(stanza)
    for path in [etc / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                yield from _one_line(line)


def _deb822(stanza: str) -> Iterator[_Source]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":  # goes on
            fields[name] = fields.get(name, "") + " " + line.strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return
    options = []
    if fields.get("signed-by", "").startswith("/"):
        options.append("signed-by=" + fields["signed-by"].replace(" ", ","))
    if fields.get("trusted", "").lower() == "yes":
        options.append("trusted=yes")
    for address in fields.get("uris", "").split():
        yield _Source(
            address,
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            f"[{' '.join(options)}] " if options else "",
        )


def _one_line(line: str) -> Iterator[_Source]:
    found = re.match(r"deb\s+(\[[^]]*\])?\s*(\S+)\s+(\S+)\s+([^#]*)", line.strip())
    if found:
        options, address, suite, components = found.groups()
        yield _Source(address, (suite,), tuple(components.split()), f"{options} " if options else "")


def _codename() -> str:
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)', release, re.MULTILINE)
    if not found:
        raise EngineError("the engines are fetched from Debian's packages and this is no Debian release")
    return found.group(1)


def _present(program: str) -> bool:
    return shutil.which(program, path=SEARCH_PATH) is not None


def _apparmor_enforced() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text(encoding="ascii").startswith("Y")
    except OSError:
        return False


def _apt_environment() -> dict[str, str]:
    """A plain environment in which apt asks nothing; how to reach the network is the machine's matter."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return plain_environment() | {"DEBIAN_FRONTEND": "noninteractive"} | proxies


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an flock on `path`; the kernel frees it however the holder ends."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(words: str) -> None:
    """Tell the person at the terminal, past any capture of standard output."""
    print(words, file=sys.__stderr__ or sys.stderr, flush=True)
