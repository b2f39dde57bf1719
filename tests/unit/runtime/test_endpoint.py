"""Which daemon is used: as Docker's own command decides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from roj.environment import RealEnvironment
from roj.runtime.address import open_runtime
from roj.runtime.endpoint import DEFAULT_SOCKET, Tls, endpoint
from roj.runtime.interface import RuntimeFailure
from roj.runtime.simulated import SimulatedRuntime


def context(home: Path, name: str, url: str, *, tls: bool = False, current: bool = True) -> None:
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / folder
    meta.mkdir(parents=True)
    described = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": url, "SkipTLSVerify": False}}}
    (meta / "meta.json").write_text(json.dumps(described), encoding="utf-8")
    if tls:
        files = home / ".docker" / "contexts" / "tls" / folder / "docker"
        files.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (files / file).touch()
    if current:
        (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}), encoding="utf-8")


def test_without_anything_it_is_the_machines_socket(tmp_path: Path) -> None:
    found = endpoint(None, {"HOME": str(tmp_path)})
    assert (found.url, found.tls, found.local) == (DEFAULT_SOCKET, None, True)
    assert found.configuration == tmp_path / ".docker"


def test_what_is_said_goes_before_the_variable_and_that_before_the_context(tmp_path: Path) -> None:
    context(tmp_path, "remote", "tcp://context:2375")
    context(tmp_path, "other", "ssh://me@other", current=False)
    home = {"HOME": str(tmp_path)}
    by_name = home | {"DOCKER_CONTEXT": "other"}
    by_host = by_name | {"DOCKER_HOST": "tcp://variable:2375"}
    assert endpoint(None, home).url == "tcp://context:2375"
    assert endpoint(None, by_name).url == "ssh://me@other"
    assert endpoint(None, by_host).url == "tcp://variable:2375"
    assert endpoint("unix:///said.sock", by_host).url == "unix:///said.sock"
    assert endpoint(None, home | {"DOCKER_CONTEXT": "default"}).url == DEFAULT_SOCKET


@pytest.mark.parametrize(
    ("said", "url"), [("host:2375", "tcp://host:2375"), ("/run/d.sock", "unix:///run/d.sock")]
)
def test_an_address_without_a_scheme(said: str, url: str) -> None:
    assert endpoint(said, {}).url == url


def test_encryption_by_variables(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    variables = {"DOCKER_HOST": "tcp://h:2376", "DOCKER_CERT_PATH": str(tmp_path)}
    assert endpoint(None, variables).tls is None
    verified = Tls(tmp_path / "ca.pem", None, None, verify=True)
    assert endpoint(None, variables | {"DOCKER_TLS_VERIFY": "1"}).tls == verified
    assert endpoint(None, variables | {"DOCKER_TLS_VERIFY": ""}).tls is None


def test_encryption_of_a_context(tmp_path: Path) -> None:
    context(tmp_path, "remote", "tcp://context:2376", tls=True)
    found = endpoint(None, {"HOME": str(tmp_path)})
    assert found.tls is not None
    assert found.tls.verify
    assert found.tls.key is not None
    assert not found.local


def test_a_context_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="'gone'"):
        endpoint(None, {"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})


def test_a_configuration_that_cannot_be_read_names_no_context(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{not json", encoding="utf-8")
    assert endpoint(None, {"DOCKER_CONFIG": str(tmp_path)}).url == DEFAULT_SOCKET


def test_simulated_is_an_address_too() -> None:
    runtime = open_runtime("simulated:", RealEnvironment(), {})
    assert isinstance(runtime, SimulatedRuntime)
    assert runtime.pull("anything:at-all").tags == ("anything:at-all",)
