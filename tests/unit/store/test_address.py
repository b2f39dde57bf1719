"""Which store an address and the variables mean, and what is said of one that means none."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from roj.api.faults import InvalidInput
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.consul_address import ConsulAddress, consul_address
from roj.store.consul_tls import Tls
from roj.store.interface import Store, StoreUnavailable


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
    ("path", "words"),
    [
        ("file/store.db", "file is no directory"),
        ("directory", "directory is a directory: write a file's path, as in sqlite://{top}/directory/roj.db"),
        ("file", "file is no SQLite database, and is left as it is"),
        ("pipe", "pipe is no ordinary file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_can_be_no_store_is_refused(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("something", encoding="ascii")
    os.mkfifo(tmp_path / "pipe")
    for given, variables in (
        (f"sqlite://{tmp_path}/{path}", {}),
        (None, {"ROJ_STORE": f"sqlite://{tmp_path}/{path}"}),
    ):
        with pytest.raises(InvalidInput) as caught:
            open_store(given, RealEnvironment(), variables)
        assert words.format(top=tmp_path) in str(caught.value)
    assert (tmp_path / "file").read_text(encoding="ascii") == "something"


@pytest.mark.parametrize(
    ("path", "why", "advice"),
    [
        ("{top}/damaged.db", "is damaged", "aside"),
        ("{top}/no/roj.db", "the directory {top}/no is not there", "Make it, or"),
        # Nobody may make a file there.
        (
            "/proc/roj.db",
            "may not read and write it",
            "It takes the right to write to /proc/roj.db and to /proc",
        ),
    ],
)
def test_a_file_that_cannot_be_used_now_is_a_store_out_of_reach(
    tmp_path: Path, path: str, why: str, advice: str
) -> None:
    """It may be mended or mounted meanwhile: an agent starts, and works from its own disk."""
    (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0, or what was one")
    with opened(f"sqlite://{path.format(top=tmp_path)}") as store, pytest.raises(StoreUnavailable) as caught:
        store.get("a")
    assert why.format(top=tmp_path) in str(caught.value)
    assert advice in caught.value.advice


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE t (x)")
    before = (tmp_path / "other.db").read_bytes()
    with opened(f"sqlite://{tmp_path}/other.db") as store, pytest.raises(StoreUnavailable) as caught:
        store.create("a", b"1")
    assert "another program" in str(caught.value)
    assert "--store" in caught.value.advice
    assert (tmp_path / "other.db").read_bytes() == before


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CONSUL_HTTP_ADDR": "unix:///run/consul.sock"}, "unix socket"),
        (
            {"CONSUL_HTTP_ADDR": "ftp://c1"},
            "CONSUL_HTTP_ADDR: 'ftp://c1': write HOST:PORT, http://HOST:PORT or https://HOST:PORT",
        ),
        (
            {"CONSUL_HTTP_ADDR": "c1:x"},
            "CONSUL_HTTP_ADDR: 'c1:x' is no address of Consul: write HOST:PORT, http://HOST:PORT or https://HOST:PORT",
        ),
        ({"CONSUL_HTTP_SSL": "maybe"}, "CONSUL_HTTP_SSL: 'maybe': write true or false"),
        ({"CONSUL_HTTP_SSL_VERIFY": "2"}, "CONSUL_HTTP_SSL_VERIFY"),
        ({"CONSUL_HTTP_TOKEN_FILE": "/no/such/file"}, "CONSUL_HTTP_TOKEN_FILE: /no/such/file"),
        ({"CONSUL_CLIENT_CERT": "/cert.pem"}, "CONSUL_CLIENT_KEY"),
        ({"CONSUL_CLIENT_KEY": "/key.pem"}, "CONSUL_CLIENT_CERT"),
        ({"CONSUL_CACERT": "/no/such/file"}, "CONSUL_CACERT: /no/such/file cannot be read: No such file"),
        ({"CONSUL_CACERT": "/"}, "CONSUL_CACERT: / cannot be read: Is a directory"),
        ({"CONSUL_CACERT": __file__}, f"CONSUL_CACERT: {__file__} has no certificate in PEM"),
        ({"CONSUL_CAPATH": "/no/such"}, "CONSUL_CAPATH: /no/such cannot be read: No such file"),
        ({"CONSUL_CAPATH": str(Path(__file__).parent)}, "CONSUL_CAPATH: "),
        (
            {"CONSUL_CLIENT_CERT": "/no/cert", "CONSUL_CLIENT_KEY": "/no/key"},
            "CONSUL_CLIENT_KEY: /no/key cannot be read: No such file",
        ),
        (
            {"CONSUL_CLIENT_CERT": __file__, "CONSUL_CLIENT_KEY": __file__},
            "are no certificate and its key in PEM",
        ),
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
        "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
        "CONSUL_HTTP_SSL_VERIFY": "false",
        "CONSUL_NAMESPACE": "team",
        "CONSUL_PARTITION": "part",
    }
    assert consul_address("consul+https://c1", "--store", variables) == ConsulAddress(
        host="c1",
        port=8501,
        scheme="https",
        token="token",
        token_from="CONSUL_HTTP_TOKEN",
        tls=Tls(verify=False, server_name="server.dc1.consul"),
        auth=("user", "pass:word"),
        namespace="team",
        partition="part",
    )
    assert consul_address("c1", "", {}).tls == Tls()
    assert consul_address("c1", "", {}).token_from == ""
    assert consul_address("c1", "", {"CONSUL_HTTP_AUTH": "user"}).auth == ("user", "")


def test_authorities_are_a_file_or_all_files_of_a_directory(tmp_path: Path) -> None:
    bundle = Path(DEFAULT_CA_BUNDLE_PATH).read_text(encoding="ascii")
    one, other = [
        f"{text}-----END CERTIFICATE-----" for text in bundle.split("-----END CERTIFICATE-----")[:2]
    ]
    (tmp_path / "a.pem").write_text(f"# of one\n{one}\n", encoding="ascii")
    (tmp_path / "b.crt").write_text(f"{other}\n", encoding="ascii")
    (tmp_path / "README").write_text("what is in here", encoding="ascii")

    def found(**variables: str) -> int:
        return consul_address("c1", "", variables).tls.authorities.count("-----BEGIN CERTIFICATE-----")

    assert found(CONSUL_CACERT=str(tmp_path / "a.pem")) == 1
    assert found(CONSUL_CAPATH=str(tmp_path)) == 2
    assert found(CONSUL_CACERT=str(tmp_path / "a.pem"), CONSUL_CAPATH="/no/such/directory") == 1
    (tmp_path / "README").unlink()
    (tmp_path / "a.pem").write_text(one.replace("-----\nM", "-----\n", 1), encoding="ascii")
    with pytest.raises(InvalidInput, match=r"CONSUL_CAPATH: .* has a certificate that cannot be understood"):
        found(CONSUL_CAPATH=str(tmp_path))


def test_a_tokens_file_goes_before_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    variables = {"CONSUL_HTTP_TOKEN": "variable", "CONSUL_HTTP_TOKEN_FILE": str(file)}
    file.write_text("file\n", encoding="utf-8")
    found = consul_address("c1", "", variables)
    assert (found.token, found.token_from) == ("file", f"CONSUL_HTTP_TOKEN_FILE, {file},")
    file.write_text("\n", encoding="utf-8")
    found = consul_address("c1", "", variables)
    assert (found.token, found.token_from) == ("variable", "CONSUL_HTTP_TOKEN")


def test_what_cannot_be_a_token_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"secret\nsecond")
    for variable, value in (
        ("CONSUL_HTTP_TOKEN", "secret\nsecond"),
        ("CONSUL_HTTP_TOKEN", "secret "),
        ("CONSUL_HTTP_TOKEN", "secr\u00e9t"),
        ("CONSUL_HTTP_TOKEN_FILE", str(file)),
    ):
        with pytest.raises(InvalidInput, match=f"^{variable}: ") as caught:
            open_store(None, RealEnvironment(), {variable: value})
        assert "secr" not in str(caught.value).replace(str(file), "")


def test_no_secret_is_in_the_address() -> None:
    with opened("consul://c1", CONSUL_HTTP_TOKEN="secret", CONSUL_HTTP_AUTH="me:secret") as store:
        assert "secret" not in store.address
