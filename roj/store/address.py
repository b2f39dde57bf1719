"""Which store an address means: `--store`, `ROJ_STORE`, or the environment variables of Consul's own command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from roj.api.faults import Fault, InvalidInput
from roj.environment import Environment
from roj.store.consul_address import DEFAULT, FORMS, consul_address
from roj.store.interface import Store


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
        InvalidInput: the address is none, a variable means nothing, or a variable's file cannot be read.
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
        raise InvalidInput([Fault(place, f"{given!r}: {FORMS}")])
    address = consul_address(given, place, variables)
    from roj.store.consul import ConsulStore  # slow to import

    return ConsulStore(address)


def _file(url: str, place: str) -> Path:
    # The path is taken as it is, not percent-decoded; a fourth slash does no harm.
    found = re.fullmatch(r"sqlite://(/.*[^/])", url)
    if found is None or "\0" in url:
        raise InvalidInput([Fault(place, f"{url!r} names no file by its full path: write sqlite:///PATH")])
    return Path("/" + found[1].lstrip("/"))
