"""Which store an address means: `--store`, `ROJ_STORE`, or the environment variables of Consul's own command."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path

from roj.api.faults import Fault, InvalidInput, quoted
from roj.environment import Environment
from roj.store.consul_address import DEFAULT, FORMS, consul_address
from roj.store.interface import Store

_SQLITE = b"SQLite format 3\0"
"""What every database of SQLite begins with, but one that is still empty."""


def open_store(url: str | None, environment: Environment, variables: Mapping[str, str]) -> Store:
    """A client of the store that `url` names; nothing is asked of it yet.

    Args:
        url: `consul://HOST:PORT`, `consul+https://HOST:PORT`, `sqlite:///PATH`; None: `ROJ_STORE`, else
            `CONSUL_HTTP_ADDR`, else 127.0.0.1:8500.
        environment: clock, ids and locks of the embedded store.
        variables: `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`, `CONSUL_HTTP_AUTH`, `CONSUL_HTTP_SSL`,
            `CONSUL_HTTP_SSL_VERIFY`, `CONSUL_CACERT`, `CONSUL_CAPATH`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY`,
            `CONSUL_TLS_SERVER_NAME`, `CONSUL_NAMESPACE` and `CONSUL_PARTITION` say how to speak to Consul, wherever
            its address came from.

    Raises:
        InvalidInput: the address is none, or names what can be no store (a directory, another program's file); a
            variable means nothing, or its file cannot be read. What may yet become reachable is no fault: a file that
            this user may not open, or whose directory is not there, is StoreUnavailable at the first call.
    """
    place, given = "--store", url
    if given is None:
        place, given = "ROJ_STORE", variables.get("ROJ_STORE") or None
    if given is None:
        place, given = "CONSUL_HTTP_ADDR", variables.get("CONSUL_HTTP_ADDR") or DEFAULT
    elif given.startswith("sqlite:"):
        from roj.store.embedded import EmbeddedStore

        return EmbeddedStore(environment, _file(given, place))
    elif not given.startswith(("consul://", "consul+https://")):
        raise InvalidInput([Fault(place, f"{quoted(given)}: {FORMS}")])
    address = consul_address(given, place, variables)
    from roj.store.consul import ConsulStore  # slow to import

    return ConsulStore(address)


def _file(url: str, place: str) -> Path:
    """The file that is meant, which may not be there yet. Raises InvalidInput: it can be none of ours."""
    # The path is taken as it is, not percent-decoded; a fourth slash does no harm.
    found = re.fullmatch(r"sqlite://(/.*[^/])", url)
    if found is None or "\0" in url:
        raise InvalidInput(
            [Fault(place, f"{quoted(url)} names no file by its full path: write sqlite:///PATH")]
        )
    path = Path("/" + found[1].lstrip("/"))
    if problem := _never_a_store(path):
        raise InvalidInput([Fault(place, f"{quoted(url)}: {problem}")])
    return path


def _never_a_store(path: Path) -> str:
    """Why there can be no store at `path`; empty where there can, though it may be closed to this user."""
    try:
        if path.is_dir():
            return f"{path} is a directory: write a file's path, as in sqlite://{path}/roj.db"
        if not path.exists():
            # A directory that is not there may come: it may be mounted later.
            wrong = path.parent.exists() and not path.parent.is_dir()
            return f"{path.parent} is no directory: write another path" if wrong else ""
        if not path.is_file():
            return f"{path} is no ordinary file: write another path"
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
    except OSError as error:
        return f"{path}: {error.strerror}" if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else ""
    if start and start != _SQLITE:
        return f"{path} is no SQLite database, and is left as it is: write another path"
    return ""
