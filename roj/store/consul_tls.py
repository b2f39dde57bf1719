"""How to speak TLS to Consul: the certificates that the environment variables of Consul's own command name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roj.api.faults import Fault, InvalidInput

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to believe, and who we are."""

    verify: bool = True
    """False: any certificate of the server will do."""
    authorities: str = ""
    """Certificates of authorities in PEM; empty: those that the machine knows."""
    certificate: tuple[str, str] | None = None
    """Paths of the client's certificate and key."""
    server_name: str = ""
    """The name that the server's certificate is for, if it is not the host."""


def consul_tls(variables: Mapping[str, str], *, verify: bool) -> Tls:
    """Read CONSUL_CACERT or else CONSUL_CAPATH, CONSUL_CLIENT_CERT with CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME.

    As Consul's command does, files are read whether or not they will be needed: a mistake is told at once.

    Raises:
        InvalidInput: a file cannot be read or is not what it should be; each variable at fault is named.
    """
    faults: list[Fault] = []
    tls = Tls(
        verify=verify,
        authorities=_authorities(variables, faults),
        certificate=_certificate(variables, faults),
        server_name=variables.get("CONSUL_TLS_SERVER_NAME", ""),
    )
    if faults:
        raise InvalidInput(faults)
    return tls


def _authorities(variables: Mapping[str, str], faults: list[Fault]) -> str:
    if file := variables.get("CONSUL_CACERT"):
        return _authorities_of("CONSUL_CACERT", file, [Path(file)], faults)
    if directory := variables.get("CONSUL_CAPATH"):
        try:
            files = sorted(path for path in Path(directory).iterdir() if path.is_file())
        except OSError as error:
            faults.append(Fault("CONSUL_CAPATH", f"{directory} cannot be read: {error.strerror}"))
            return ""
        return _authorities_of("CONSUL_CAPATH", directory, files, faults)
    return ""


def _authorities_of(variable: str, given: str, files: list[Path], faults: list[Fault]) -> str:
    import ssl  # slow to import

    found: list[str] = []
    try:
        for path in files:
            found += _CERTIFICATE.findall(path.read_text(encoding="latin-1"))
        if found:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(found))
            return "\n".join(found)
        faults.append(Fault(variable, f"{given} has no certificate in PEM: `-----BEGIN CERTIFICATE-----`"))
    except (ssl.SSLError, ValueError):
        faults.append(Fault(variable, f"{given} has a certificate that cannot be understood"))
    except OSError as error:
        faults.append(Fault(variable, f"{given} cannot be read: {error.strerror}"))
    return ""


def _certificate(variables: Mapping[str, str], faults: list[Fault]) -> tuple[str, str] | None:
    certificate, key = variables.get("CONSUL_CLIENT_CERT"), variables.get("CONSUL_CLIENT_KEY")
    if not certificate and not key:
        return None
    if not certificate or not key:
        missing = "CONSUL_CLIENT_KEY" if certificate else "CONSUL_CLIENT_CERT"
        faults.append(
            Fault(missing, "is not set: a client's certificate needs both CONSUL_CLIENT_CERT and _KEY")
        )
        return None
    before = len(faults)
    for variable, file in (("CONSUL_CLIENT_CERT", certificate), ("CONSUL_CLIENT_KEY", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            faults.append(Fault(variable, f"{file} cannot be read: {error.strerror}"))
    if len(faults) > before:
        return None
    import ssl

    try:
        # Without a password: OpenSSL would ask for one on the terminal, and at every connection.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError):
        faults.append(
            Fault(
                "CONSUL_CLIENT_CERT",
                f"{certificate} and CONSUL_CLIENT_KEY, {key}, are no certificate and its key in PEM, without a password",
            )
        )
        return None
    return certificate, key
