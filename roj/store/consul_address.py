"""Where a Consul agent is and how to speak to it, from the environment variables of Consul's own command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from roj.api.faults import Fault, InvalidInput, quoted
from roj.store.consul_tls import Tls, consul_tls

DEFAULT = "127.0.0.1:8500"
FORMS_OF_CONSUL = "write HOST:PORT, http://HOST:PORT or https://HOST:PORT"
"""Of CONSUL_HTTP_ADDR, which Consul's command reads too."""
FORMS = "write consul://HOST:PORT, consul+https://HOST:PORT or sqlite:///PATH"
_PORTS = {"http": 8500, "https": 8501}
"""Consul's own, where the address names none."""
_TRUE = ("1", "t", "true", "yes", "on")
_FALSE = ("0", "f", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class ConsulAddress:
    """Where a Consul agent is, and how to speak to it."""

    host: str
    port: int = 8500
    scheme: str = "http"
    token: str = ""
    token_from: str = ""
    """The variable that the token came from; empty: there is no token, Consul takes us for anybody."""
    tls: Tls = field(default_factory=Tls)
    auth: tuple[str, str] | None = None
    """User and password for HTTP basic authentication."""
    namespace: str = ""
    partition: str = ""

    def __str__(self) -> str:
        return f"consul{'+https' if self.scheme == 'https' else ''}://{self.authority}"

    @property
    def authority(self) -> str:
        """`HOST:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def consul_address(given: str, place: str, variables: Mapping[str, str]) -> ConsulAddress:
    """Read `[SCHEME://]HOST[:PORT]`, and all else from the variables, by the rules of Consul's command
    (https://developer.hashicorp.com/consul/commands#environment-variables): a scheme never turns off what
    CONSUL_HTTP_SSL asks for, and a token's file goes before a token.

    Args:
        given: the scheme is one of consul, consul+https, http, https.
        place: where it was written, for the error.

    Raises:
        InvalidInput: the address or a variable means nothing, or a variable's file cannot be read.
    """
    secure = switch(variables, "CONSUL_HTTP_SSL", False)
    host, port, scheme = _host(given, place, secure=secure)
    user, colon, password = variables.get("CONSUL_HTTP_AUTH", "").partition(":")
    token, token_from = _token(variables)
    return ConsulAddress(
        host=host,
        port=port,
        scheme=scheme,
        token=token,
        token_from=token_from,
        tls=consul_tls(variables, verify=switch(variables, "CONSUL_HTTP_SSL_VERIFY", True)),
        auth=(user, password) if user or colon else None,
        namespace=_word(variables, "CONSUL_NAMESPACE"),
        partition=_word(variables, "CONSUL_PARTITION"),
    )


def _host(given: str, place: str, *, secure: bool) -> tuple[str, int, str]:
    forms = FORMS_OF_CONSUL if place == "CONSUL_HTTP_ADDR" else FORMS
    scheme, separator, rest = given.partition("://")
    if given.startswith("unix:"):
        raise _refused(place, f"{quoted(given)}: roj does not speak to Consul by a unix socket; {forms}")
    if not separator:
        scheme, rest = "consul", given
    if scheme not in ("consul", "consul+https", "http", "https"):
        raise _refused(place, f"{quoted(given)}: {forms}")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        host, port = None, None
        parts = urlsplit("")
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if not host or port == 0 or more or not host.isprintable() or " " in host:
        raise _refused(place, f"{quoted(given)} is no address of Consul: {forms}")
    scheme = "https" if secure or scheme in ("consul+https", "https") else "http"
    return host, port or _PORTS[scheme], scheme


def _token(variables: Mapping[str, str]) -> tuple[str, str]:
    """The token, and the variable that has it."""
    if file := variables.get("CONSUL_HTTP_TOKEN_FILE"):
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else "it is no text"
            raise _refused("CONSUL_HTTP_TOKEN_FILE", f"{file} cannot be read: {words}") from None
        if token:
            return _sendable(
                token, "CONSUL_HTTP_TOKEN_FILE", f"{file} has no token"
            ), f"CONSUL_HTTP_TOKEN_FILE, {file},"
    token = _word(variables, "CONSUL_HTTP_TOKEN")
    return token, "CONSUL_HTTP_TOKEN" if token else ""


def _word(variables: Mapping[str, str], name: str) -> str:
    return _sendable(variables.get(name, ""), name, "cannot be sent to Consul")


def _sendable(text: str, place: str, problem: str) -> str:
    if not re.fullmatch(r"[!-~]*", text):
        raise _refused(
            place, f"{problem}: it is to be one word of plain ASCII"
        )  # not shown: it may be a secret
    return text


def switch(variables: Mapping[str, str], name: str, default: bool) -> bool:
    value = variables.get(name, "")
    if not value:
        return default
    if value.lower() not in _TRUE + _FALSE:
        raise _refused(name, f"{quoted(value)}: write true or false")
    return value.lower() in _TRUE


def _refused(place: str, problem: str) -> InvalidInput:
    return InvalidInput([Fault(place, problem)])
