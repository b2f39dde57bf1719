"""Whatever is written, a parser takes it or refuses it in words for people: no traceback, no hang; and what it took it
takes again as it understood it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roj.agent.http import parse_address
from roj.api.app import AppSpec
from roj.api.duration import LONGEST, format_duration, parse_duration
from roj.api.faults import Fault, InvalidInput
from roj.api.image import check_image
from roj.api.names import check_instance_id, check_name, check_version, parse_app_reference
from roj.cli.agent import _label, _network, _port_range
from roj.cli.flags import pairs_of, port_of
from roj.cli.main import run
from roj.environment import RealEnvironment
from roj.store.address import open_store
from roj.store.consul_address import consul_address

LONGEST_ANSWER = 1.0
"""Seconds that a parser may take for a text of some ten thousand letters: far more than any does, far less than a hang."""
PYTHONS_WORDS = re.compile(
    r"invalid literal|could not convert|Exceeds the limit|codec|Traceback|object|NoneType|Input should"
)


def port(text: str) -> None:
    AppSpec.checked({"containers": [{"name": "a", "image": "i", "ports": [port_of(text)]}]})


def volume(text: str) -> None:
    AppSpec.checked({"containers": [{"name": "a", "image": "i", "volumes": [text]}]})


def environment(text: str) -> None:
    faults: list[Fault] = []
    env = pairs_of("-e", [text], faults)
    if faults:
        raise InvalidInput(faults)
    AppSpec.checked({"containers": [{"name": "a", "image": "i", "env": env}]})


def store(text: str) -> None:
    open_store(text, RealEnvironment(), {}).close()


def consul(text: str) -> None:
    consul_address(text, "CONSUL_HTTP_ADDR", {})


def token(text: str) -> None:
    consul_address("c1", "", {"CONSUL_HTTP_TOKEN": text, "CONSUL_NAMESPACE": text})


PARSERS: list[Callable[[str], object]] = [
    parse_app_reference, check_name, check_version, check_instance_id, check_image, parse_duration, port, volume,
    environment, parse_address, _port_range, _network, _label, store, consul, token,
]  # fmt: skip
PIECES = (
    "a A web 0 1 80 8080 65535 65536 : / - . _ , = @ [ ] % ? # :: // tcp udp sctp ro rw ms s m h d inf nan e5 container= "
    "host= protocol= name= sqlite:/// consul:// consul+https:// http:// unix:/// 10.0.0.0 /16 ~ .. \\ ' \" \0 \n \u0661 "
    "\u00b2 \ud800 \U0001f600"
)
"""What such texts are made of, so that many are nearly right."""
NEARLY = st.lists(st.sampled_from(PIECES.split(" ")), max_size=8).map("".join)
TEXTS = st.text(max_size=30) | NEARLY | st.text(st.characters(categories=["Cs", "Cc", "Nd"]), max_size=5)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__.strip("_"))
@given(text=TEXTS)
@example(text="")
@example(text="\ud800=1")
@example(text="1" * 5000)
@example(text="a" * 30_000)
@example(text="a-" * 15_000)
@example(text="a." * 15_000 + "!")
@example(text="1:" * 15_000)
@example(text="1s" * 15_000)
@example(text="80:" + "8" * 5000 + "/tcp")
@example(text="container=" + "8" * 5000)
@example(text="/" * 30_000)
@example(text="[" * 30_000)
def test_any_text_is_taken_or_refused_in_words(parse: Callable[[str], object], text: str) -> None:
    began = time.perf_counter()
    try:
        parse(text)
    except ValueError as refused:  # InvalidInput is one
        words = str(refused)
        assert words
        assert not PYTHONS_WORDS.search(words.replace(text, "") if text else words), words
        assert len(words) < 1000, "a long text is not shown in full"
        words.encode()
    assert time.perf_counter() - began < LONGEST_ANSWER


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
NUMBERS = st.integers(1, 65535)


@given(NAMES, VERSIONS)
def test_a_reference_is_its_two_parts(name: str, version: str) -> None:
    assert parse_app_reference(f"{name}:{version}") == (name, version)


@given(NUMBERS, st.none() | NUMBERS, st.sampled_from([None, "tcp", "udp"]), st.none() | NAMES)
def test_both_ways_to_write_a_port_mean_the_same(
    container: int, host: int | None, protocol: str | None, name: str | None
) -> None:
    fields: dict[str, Any] = {"container": container, "host": host, "protocol": protocol, "name": name}
    meant = {word: value for word, value in fields.items() if value is not None}
    short = f"{f'{name}=' if name else ''}{container}{f':{host}' if host else ''}{f'/{protocol}' if protocol else ''}"
    long = ",".join(f"{word}={value}" for word, value in meant.items())
    assert port_of(long) == meant
    assert port_of(short) == meant
    spec = AppSpec.checked({"containers": [{"name": "a", "image": "i", "ports": [meant]}]})
    assert spec.containers[0].ports[0].model_dump(exclude_none=True) == {"protocol": "tcp"} | meant


@given(
    st.from_regex(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]+|(?:/[a-z.]+)+):(?:/[a-z ]+)+(?::r[ow])?", fullmatch=True)
)
def test_a_volume_is_kept_as_it_was_written(text: str) -> None:
    spec = AppSpec.checked({"containers": [{"name": "a", "image": "i", "volumes": [text]}]})
    assert spec.containers[0].volumes == (text,)


@given(st.integers(0, round(LONGEST * 1000)))
def test_a_duration_is_read_as_it_is_written(thousandths: int) -> None:
    assert parse_duration(format_duration(thousandths / 1000)) == pytest.approx(thousandths / 1000, abs=1e-6)
    assert parse_duration(f"{thousandths / 1000:.3f}") == thousandths / 1000


@settings(max_examples=50)
@given(TEXTS)
def test_what_is_taken_for_a_stores_address_is_taken_again(text: str) -> None:
    try:
        opened = open_store(text, RealEnvironment(), {})
    except InvalidInput:
        return
    address = opened.address
    opened.close()
    again = open_store(address, RealEnvironment(), {})
    assert again.address == address
    again.close()


WORDS = st.lists(
    st.sampled_from(["-p", "-e", "-v", "--label", "-m", "-f", "--", "-h", "web:v1", "nginx", "80", "a=b"])
    | TEXTS,
    max_size=8,
)  # fmt: skip


@settings(max_examples=200)
@given(
    command=st.sampled_from(["create", "remove", "export", "deploy", "stop", "adopt", "inspect", "agent"]),
    words=WORDS,
)
def test_any_words_behind_a_command_end_in_a_code_and_no_traceback(command: str, words: list[str]) -> None:
    out, err = StringIO(), StringIO()
    # An agent does not start, whatever it is told: its state directory cannot be made.
    more = ["--once", "--docker", "simulated:", "--state-dir", "/proc/roj"] if command == "agent" else []
    with redirect_stdout(out), redirect_stderr(err):
        code = run([command, *more, *words], variables={"ROJ_STORE": "sqlite:///proc/nowhere/roj.db"})
    assert code in (0, 1, 2, 6) and ("-h" in words or code), err.getvalue()
    said = err.getvalue()
    assert "roj: unexpected" not in said and "Traceback" not in said, said
