"""Which store an address and the variables mean, and what is said of one that means none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from roj.api.faults import InvalidInput
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.consul_address import ConsulAddress, consul_address
from roj.store.interface import Store


def opened(url: str | None, **variables: str) -> closing[Store]:
    return closing(open_store(url, RealEnvironment(), variables))


@pytest.mark.parametrize(
    ("url", "variables", "address"),
    [
        (None, {}, "consul://127.0.0.1:8500"),
        (None, {"ROJ_STORE": "", "CONSUL_HTTP_ADDR": ""}, "consul://127.0.0.1:8500"),
        (None, {"CONSUL_HTTP_ADDR": "10.0.0.1:8500"}, "consul://10.0.0.1:8500"),
        (None, {"CONSUL_HTTP_ADDR": "http://c1:80"}, "consul://c1:80"),
        (None, {"CONSUL_HTTP_ADDR": "https://c1:443/"}, "consul+https://c1:443"),
        (None, {"CONSUL_HTTP_ADDR": "https://c1"}, "consul+https://c1:8501"),
        (None, {"CONSUL_HTTP_ADDR": "c1:8501", "CONSUL_HTTP_SSL": "true"}, "consul+https://c1:8501"),
        (None, {"CONSUL_HTTP_ADDR": "http://c1:8501", "CONSUL_HTTP_SSL": "1"}, "consul+https://c1:8501"),
        (None, {"CONSUL_HTTP_ADDR": "c1:8500", "CONSUL_HTTP_SSL": "false"}, "consul://c1:8500"),
        (None, {"CONSUL_HTTP_ADDR": "[::1]:8500"}, "consul://[::1]:8500"),
        (None, {"ROJ_STORE": "consul://c2:8500", "CONSUL_HTTP_ADDR": "c1:8500"}, "consul://c2:8500"),
        (None, {"ROJ_STORE": "sqlite:///srv/roj.db", "CONSUL_HTTP_ADDR": "c1:8500"}, "sqlite:///srv/roj.db"),
        ("consul://c3:8500", {"ROJ_STORE": "sqlite:///srv/roj.db"}, "consul://c3:8500"),
        ("consul://c3", {}, "consul://c3:8500"),
        ("consul+https://c3", {}, "consul+https://c3:8501"),
        ("sqlite:///srv/a%20b?c#d.db", {}, "sqlite:///srv/a%20b?c#d.db"),
        ("sqlite:////srv/roj.db", {}, "sqlite:///srv/roj.db"),
    ],
)
def test_the_store_that_is_meant(url: str | None, variables: dict[str, str], address: str) -> None:
    with opened(url, **variables) as store:
        assert store.address == address
        with closing(store.clone()) as clone:
            assert clone.address == address
        if url is not None:
            with opened(store.address, **variables) as same:
                assert same.address == address


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "c1:8500", "http://c1:8500", "etcd://c1", "consul:c1", "consul://", "consul://:8500",
        "consul://c1:port", "consul://c1:99999", "consul://c1:0", "consul://c1:8500/path", "consul://c1?dc=dc2",
        "consul://user:secret@c1", "consul://[::1", "consul://a b", "sqlite:", "sqlite://", "sqlite:///",
        "sqlite://relative.db", "sqlite:///srv/", "sqlite:///a\0b", "/srv/roj.db",
    ],
)  # fmt: skip
def test_an_address_that_means_none_is_refused_with_what_to_write(url: str) -> None:
    for given, variables in ((url, {}), (None, {"ROJ_STORE": url})):
        if given is None and not url:
            continue  # as if it were not set
        with pytest.raises(InvalidInput) as caught:
            open_store(given, RealEnvironment(), variables)
        assert "sqlite:///PATH" in str(caught.value)
        assert str(caught.value).startswith("--store: " if given is not None else "ROJ_STORE: ")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CONSUL_HTTP_ADDR": "unix:///run/consul.sock"}, "unix socket"),
        ({"CONSUL_HTTP_ADDR": "ftp://c1"}, "CONSUL_HTTP_ADDR"),
        ({"CONSUL_HTTP_ADDR": "c1:x"}, "CONSUL_HTTP_ADDR"),
        ({"CONSUL_HTTP_SSL": "maybe"}, "CONSUL_HTTP_SSL: 'maybe': write true or false"),
        ({"CONSUL_HTTP_SSL_VERIFY": "2"}, "CONSUL_HTTP_SSL_VERIFY"),
        ({"CONSUL_HTTP_TOKEN_FILE": "/no/such/file"}, "CONSUL_HTTP_TOKEN_FILE: /no/such/file"),
        ({"CONSUL_CLIENT_CERT": "/cert.pem"}, "CONSUL_CLIENT_KEY"),
        ({"CONSUL_CLIENT_KEY": "/key.pem"}, "CONSUL_CLIENT_CERT"),
    ],
)
def test_a_variable_that_means_nothing_is_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_store(None, RealEnvironment(), variables)
    assert words in str(caught.value)


def test_how_to_speak_to_consul() -> None:
    variables = {
        "CONSUL_HTTP_TOKEN": "token",
        "CONSUL_HTTP_AUTH": "user:pass:word",
        "CONSUL_CACERT": "/ca.pem",
        "CONSUL_CAPATH": "/ca",
        "CONSUL_CLIENT_CERT": "/cert.pem",
        "CONSUL_CLIENT_KEY": "/key.pem",
        "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
        "CONSUL_NAMESPACE": "team",
        "CONSUL_PARTITION": "part",
    }
    assert consul_address("consul+https://c1", "--store", variables) == ConsulAddress(
        host="c1",
        port=8501,
        scheme="https",
        token="token",
        verify="/ca.pem",
        certificate=("/cert.pem", "/key.pem"),
        server_name="server.dc1.consul",
        auth=("user", "pass:word"),
        namespace="team",
        partition="part",
    )
    assert consul_address("c1", "", {"CONSUL_CAPATH": "/ca"}).verify == "/ca"
    assert (
        consul_address("c1", "", {"CONSUL_CACERT": "/ca", "CONSUL_HTTP_SSL_VERIFY": "false"}).verify is False
    )
    assert consul_address("c1", "", {}).verify is True
    assert consul_address("c1", "", {"CONSUL_HTTP_AUTH": "user"}).auth == ("user", "")


def test_a_tokens_file_goes_before_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    variables = {"CONSUL_HTTP_TOKEN": "variable", "CONSUL_HTTP_TOKEN_FILE": str(file)}
    file.write_text("file\n", encoding="utf-8")
    assert consul_address("c1", "", variables).token == "file"
    file.write_text("\n", encoding="utf-8")
    assert consul_address("c1", "", variables).token == "variable"


def test_no_secret_is_in_the_address() -> None:
    with opened("consul://c1", CONSUL_HTTP_TOKEN="secret", CONSUL_HTTP_AUTH="me:secret") as store:
        assert "secret" not in store.address
