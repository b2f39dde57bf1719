"""Where Docker is: as Docker's own command decides, from variables and files that are passed in.

The rules are those of docker/cli: an address given, `DOCKER_HOST`, the context named by `DOCKER_CONTEXT`, the current
context of `config.json`, else the socket of the machine. An address given or in `DOCKER_HOST` is encrypted where
`DOCKER_TLS_VERIFY` or `DOCKER_TLS` is not empty, with the files in `DOCKER_CERT_PATH`; a context has its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from roj.runtime.interface import RuntimeFailure

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of an encrypted connection; None where there is none."""

    authority: Path | None
    certificate: Path | None
    key: Path | None
    verify: bool
    """Whether the daemon's certificate is checked."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A daemon's address, and how to speak with it."""

    url: str
    """`unix:///...`, `tcp://HOST:PORT`, `ssh://[USER@]HOST`."""
    tls: Tls | None
    configuration: Path
    """The directory of Docker's `config.json`: credentials of registries are there."""

    @property
    def local(self) -> bool:
        """Whether the daemon is on this machine, as far as the address tells."""
        return self.url.startswith(("unix://", "/"))


def endpoint(url: str | None, variables: Mapping[str, str]) -> Endpoint:
    """The daemon to use. `url` is what the user said; `variables` are the environment's.

    Raises: RuntimeFailure, where a context is named that is not there or cannot be read.
    """
    configuration = _configuration(variables)
    url = url or variables.get("DOCKER_HOST")
    if url:
        return Endpoint(_with_scheme(url), _tls_of_variables(variables, configuration), configuration)
    context = variables.get("DOCKER_CONTEXT") or _current_context(configuration)
    if context and context != "default":
        return _of_context(context, configuration)
    return Endpoint(DEFAULT_SOCKET, None, configuration)


def _configuration(variables: Mapping[str, str]) -> Path:
    if given := variables.get("DOCKER_CONFIG"):
        return Path(given)
    return Path(variables.get("HOME") or "/") / ".docker"


def _with_scheme(url: str) -> str:
    # As docker/cli: an address without a scheme is a TCP one, a path a socket's.
    if url.startswith("/"):
        return f"unix://{url}"
    return url if "://" in url else f"tcp://{url}"


def _tls_of_variables(variables: Mapping[str, str], configuration: Path) -> Tls | None:
    verify = bool(variables.get("DOCKER_TLS_VERIFY"))
    if not verify and not variables.get("DOCKER_TLS"):
        return None
    return _tls(Path(variables.get("DOCKER_CERT_PATH") or configuration), verify=verify)


def _tls(directory: Path, *, verify: bool) -> Tls:
    files = [directory / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority, certificate, key = (file if file.is_file() else None for file in files)
    return Tls(authority, certificate, key, verify)


def _current_context(configuration: Path) -> str:
    # A config.json that cannot be read names no context: Docker's command warns and goes on, too.
    try:
        content = json.loads((configuration / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = content.get("currentContext") if isinstance(content, dict) else None
    return name if isinstance(name, str) else ""


def _of_context(name: str, configuration: Path) -> Endpoint:
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = configuration / "contexts" / "meta" / folder / "meta.json"
    try:
        found = cast("dict[str, dict[str, dict[str, object]]]", json.loads(meta.read_text(encoding="utf-8")))
        docker = found["Endpoints"]["docker"]
        url = docker.get("Host") or DEFAULT_SOCKET
        verify = not docker.get("SkipTLSVerify")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeFailure(f"Docker's context {name!r} cannot be used: {error}") from error
    files = configuration / "contexts" / "tls" / folder / "docker"
    tls = _tls(files, verify=verify) if files.is_dir() else None
    return Endpoint(_with_scheme(str(url)), tls, configuration)
