"""Which store an address means: `--store`, `ROJ_STORE`, or the environment variables of Consul's own command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from roj.api.faults import Fault, InvalidInput
from roj.environment import Environment
from roj.store.interface import Store

DEFAULT = "127.0.0.1:8500"
_TRUE = ("1", "t", "true", "yes", "on")
_FALSE = ("0", "f", "false", "no", "off")
_FORMS = "write consul://HOST:PORT, consul+https://HOST:PORT or sqlite:///PATH"


def open_store(url: str | None, environment: Environment, variables: Mapping[str, str]) -> Store:
    """A client of the store that `url` names; nothing is asked of it yet.

    Args:
        url: `consul://HOST:PORT`, `consul+https://HOST:PORT`, `sqlite:///PATH`; None: `ROJ_STORE`, else
            `CONSUL_HTTP_ADDR`, else 127.0.0.1:8500.
        environment: for the embedded store.
        variables: `CONSUL_HTTP_TOKEN`, `_TOKEN_FILE`, `_AUTH`, `_SSL`, `_SSL_VERIFY`, `CONSUL_CACERT`,
            `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY` and `CONSUL_NAMESPACE` are read as Consul's own command does
            (https://developer.hashicorp.com/consul/commands#environment-variables).

    Raises:
        InvalidInput: the address is none, or a variable's file cannot be read.
    """
    given = url if url is not None else variables.get("ROJ_STORE") or None
    place = "--store" if url is not None else "ROJ_STORE"
    if given is not None and given.startswith("sqlite:"):
        path = given.removeprefix("sqlite://")
        if not given.startswith("sqlite:///") or path in ("", "/"):
            raise InvalidInput([Fault(place, f"{given!r} names no file: write sqlite:///PATH")])
        from roj.store.embedded import EmbeddedStore

        return EmbeddedStore(environment, Path(path))
    from roj.store.consul import ConsulAddress, ConsulStore

    if given is not None:
        scheme, separator, _ = given.partition("://")
        if separator and scheme not in ("consul", "consul+https", "http", "https"):
            raise InvalidInput([Fault(place, f"{given!r}: {_FORMS}")])
        address = given.replace("consul+https://", "https://").replace("consul://", "")
    else:
        place, address = "CONSUL_HTTP_ADDR", variables.get("CONSUL_HTTP_ADDR") or DEFAULT
    secure = _switch(variables, "CONSUL_HTTP_SSL", False)
    host, port, scheme = _host(address, place, "https" if secure else "http")
    authority = variables.get("CONSUL_CACERT") or variables.get("CONSUL_CAPATH") or ""
    certificate, key = variables.get("CONSUL_CLIENT_CERT"), variables.get("CONSUL_CLIENT_KEY")
    user, colon, password = variables.get("CONSUL_HTTP_AUTH", "").partition(":")
    return ConsulStore(
        ConsulAddress(
            host=host,
            port=port,
            scheme=scheme,
            token=_token(variables),
            verify=_switch(variables, "CONSUL_HTTP_SSL_VERIFY", True) and (authority or True),
            certificate=(certificate, key) if certificate and key else None,
            auth=(user, password) if user or colon else None,
            namespace=variables.get("CONSUL_NAMESPACE", ""),
        )
    )


def _host(address: str, place: str, scheme: str) -> tuple[str, int, str]:
    if address.startswith("unix:"):
        raise InvalidInput([Fault(place, f"{address!r}: a unix socket is not spoken to; {_FORMS}")])
    if "://" in address:
        scheme, _, address = address.partition("://")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query:
        raise InvalidInput([Fault(place, f"{address!r} is no address of Consul: {_FORMS}")])
    return host, port or (8501 if scheme == "https" else 8500), scheme


def _token(variables: Mapping[str, str]) -> str:
    if variables.get("CONSUL_HTTP_TOKEN"):
        return variables["CONSUL_HTTP_TOKEN"]
    file = variables.get("CONSUL_HTTP_TOKEN_FILE")
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput([Fault("CONSUL_HTTP_TOKEN_FILE", f"{file} cannot be read: {error}")]) from None


def _switch(variables: Mapping[str, str], name: str, default: bool) -> bool:
    value = variables.get(name, "").lower()
    if not value:
        return default
    if value not in _TRUE + _FALSE:
        raise InvalidInput([Fault(name, f"{value!r} is neither true nor false")])
    return value in _TRUE
