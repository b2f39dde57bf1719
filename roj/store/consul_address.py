"""Where a Consul agent is and how to speak to it, from the environment variables of Consul's own command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from roj.api.faults import Fault, InvalidInput

DEFAULT = "127.0.0.1:8500"
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
    verify: bool | str = True
    """False: any certificate; a path: a file or directory of authorities."""
    certificate: tuple[str, str] | None = None
    """Paths of the client's certificate and key."""
    server_name: str = ""
    """The name that the server's certificate is for, if it is not the host."""
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
    secure = _switch(variables, "CONSUL_HTTP_SSL", False)
    host, port, scheme = _host(given, place, secure=secure)
    authorities = variables.get("CONSUL_CACERT") or variables.get("CONSUL_CAPATH") or ""
    user, colon, password = variables.get("CONSUL_HTTP_AUTH", "").partition(":")
    return ConsulAddress(
        host=host,
        port=port,
        scheme=scheme,
        token=_token(variables),
        verify=_switch(variables, "CONSUL_HTTP_SSL_VERIFY", True) and (authorities or True),
        certificate=_certificate(variables),
        server_name=variables.get("CONSUL_TLS_SERVER_NAME", ""),
        auth=(user, password) if user or colon else None,
        namespace=variables.get("CONSUL_NAMESPACE", ""),
        partition=variables.get("CONSUL_PARTITION", ""),
    )


def _host(given: str, place: str, *, secure: bool) -> tuple[str, int, str]:
    scheme, separator, rest = given.partition("://")
    if given.startswith("unix:"):
        raise _refused(place, f"{given!r}: roj does not speak to Consul by a unix socket; {FORMS}")
    if not separator:
        scheme, rest = "consul", given
    if scheme not in ("consul", "consul+https", "http", "https"):
        raise _refused(place, f"{given!r}: {FORMS}")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        host, port = None, None
        parts = urlsplit("")
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if not host or port == 0 or more or not host.isprintable() or " " in host:
        raise _refused(place, f"{given!r} is no address of Consul: {FORMS}")
    scheme = "https" if secure or scheme in ("consul+https", "https") else "http"
    return host, port or _PORTS[scheme], scheme


def _token(variables: Mapping[str, str]) -> str:
    if file := variables.get("CONSUL_HTTP_TOKEN_FILE"):
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise _refused("CONSUL_HTTP_TOKEN_FILE", f"{file} cannot be read: {error}") from None
        if token:
            return token
    return variables.get("CONSUL_HTTP_TOKEN", "")


def _certificate(variables: Mapping[str, str]) -> tuple[str, str] | None:
    certificate, key = variables.get("CONSUL_CLIENT_CERT"), variables.get("CONSUL_CLIENT_KEY")
    if bool(certificate) != bool(key):
        missing = "CONSUL_CLIENT_KEY" if certificate else "CONSUL_CLIENT_CERT"
        raise _refused(missing, "is not set: a client's certificate needs both CONSUL_CLIENT_CERT and _KEY")
    return (certificate, key) if certificate and key else None


def _switch(variables: Mapping[str, str], name: str, default: bool) -> bool:
    value = variables.get(name, "")
    if not value:
        return default
    if value.lower() not in _TRUE + _FALSE:
        raise _refused(name, f"{value!r}: write true or false")
    return value.lower() in _TRUE


def _refused(place: str, problem: str) -> InvalidInput:
    return InvalidInput([Fault(place, problem)])
