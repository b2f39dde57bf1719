"""`roj agent`: one node's process."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from roj.api.faults import quoted
from roj.cli.context import say, settings_of, store_option

_PORT = re.compile(r"[0-9]{1,5}")


@click.command()
@click.option("--node", metavar="NAME", help="This node's name. Default: the name of the local Consul agent.")
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the agent keeps what it must know again after a crash. Default: /var/lib/roj/NAME.",
)
@click.option("--docker", metavar="URL", help="Docker's address. Default: as Docker's own command decides.")
@click.option(
    "--resync", metavar="DURATION", default="30s", show_default=True,
    help="Time between two comparisons of everything.",
)  # fmt: skip
@click.option(
    "--once", is_flag=True,
    help="Converge once and end, for cron: 0 if all converged, else 3, or 6 or 7 where store or Docker are why.",
)  # fmt: skip
@click.option(
    "--once-timeout", metavar="DURATION", default="5m", show_default=True, help="How long --once may take."
)
@click.option("--http", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there too.")
@click.option(
    "--port-range", metavar="FIRST-LAST", default="20000-31999", show_default=True,
    help="The node's ports that dynamic ports are taken from.",
)  # fmt: skip
@click.option(
    "--network-pool", metavar="NETWORK", default="10.213.0.0/16", show_default=True,
    help="Where the subnets of apps with several containers come from.",
)  # fmt: skip
@click.option(
    "--label", "labels", metavar="K=V", multiple=True, help="A label of the node, when it first registers."
)
@click.option("--takeover", is_flag=True, help="Take the node's lease from another machine that holds it.")
@click.option(
    "--reap-unclaimed",
    metavar="DURATION",
    help="Remove containers without an instance after so long. Default: never.",
)
@click.option(
    "--image-gc-high", metavar="PERCENT", type=click.IntRange(1, 100), default=85, show_default=True,
    help="Share of the disk in use above which unused images go.",
)  # fmt: skip
@click.option(
    "--image-gc-low", metavar="PERCENT", type=click.IntRange(0, 100), default=80, show_default=True,
    help="Share of the disk in use down to which they go.",
)  # fmt: skip
@click.option(
    "--collect-shared-images", is_flag=True,
    help="Collect images though another agent's containers are on the same Docker daemon.",
)  # fmt: skip
@click.option(
    "--without", metavar="CONTROLLER", multiple=True,
    help="Leave a controller out: deploy, image-puller, pulls-ahead, anti-entropy or garbage-collection.",
)  # fmt: skip
@click.option(
    "--lead", type=click.Choice(["auto", "yes", "no"]), default="auto", show_default=True,
    help="Run rollouts where no other agent does: auto, if the token may write what is wanted.",
)  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@store_option
@click.pass_context
def agent(context: click.Context, /, **flags: Any) -> None:
    """Run this node: register it, make what is wanted of it so, and keep it so.

    It runs until SIGTERM or Ctrl-C, and leaves every container as it is. With the store away it goes on by what it was
    last told.

    \b
    roj agent
    roj agent --node node1 --label rack=a
    roj agent --once --once-timeout 2m              from cron
    """
    from roj.agent.process import run

    settings = settings_of(context)
    options = _options(flags, settings.store)
    with ended():
        context.exit(run(options, settings.variables))


def _options(flags: dict[str, Any], store: str | None) -> Any:
    """The agent's options.

    Raises:
        InvalidInput: with every fault of the flags.
    """
    from roj.agent.options import AgentOptions
    from roj.api.duration import parse_duration
    from roj.api.faults import Fault, InvalidInput
    from roj.api.names import check_name

    faults: list[Fault] = []

    def take(flag: str, read: Callable[[Any], Any], value: Any) -> Any:
        try:
            return read(value) if value is not None else None
        except ValueError as problem:
            faults.append(Fault(flag, str(problem)))
            return None

    values = {
        **flags,
        "store": store,
        "node": take("--node", check_name, flags["node"]),
        "http": take("--http", _listens, flags["http"]),
        "resync": take("--resync", _some_time, flags["resync"]),
        "once_timeout": take("--once-timeout", parse_duration, flags["once_timeout"]),
        "port_range": take("--port-range", _port_range, flags["port_range"]),
        "network_pool": take("--network-pool", _network, flags["network_pool"]),
        "labels": tuple(take("--label", _label, text) for text in flags["labels"]),
        "reap_unclaimed": take("--reap-unclaimed", parse_duration, flags["reap_unclaimed"]),
        "without": tuple(take("--without", _controller, name) for name in flags["without"]),
        "image_gc_high": flags["image_gc_high"] / 100,
        "image_gc_low": flags["image_gc_low"] / 100,
    }
    keys = [label[0] for label in values["labels"] if label is not None]
    faults += [
        Fault("--label", f"{key} is given twice") for key in dict.fromkeys(keys) if keys.count(key) > 1
    ]
    if flags["image_gc_low"] > flags["image_gc_high"]:
        faults.append(Fault("--image-gc-low", "is above --image-gc-high"))
    if faults:
        raise InvalidInput(faults)
    return AgentOptions(**values)


def _listens(text: str) -> str:
    from roj.agent.http import parse_address

    parse_address(text)
    return text


def _some_time(text: str) -> float:
    from roj.api.duration import parse_duration

    seconds = parse_duration(text)
    if seconds < 1:
        raise ValueError(f"{quoted(text)} is too short: 1s is the least")
    return seconds


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if _PORT.fullmatch(first) and _PORT.fullmatch(last) and 1 <= int(first) <= int(last) <= 65535:
        return int(first), int(last)
    raise ValueError(f"{quoted(text)} is no range of ports: write FIRST-LAST, as in 20000-31999")


def _network(text: str) -> str:
    wanted = "write an IPv4 network of a /28 or wider, as in 10.213.0.0/16"
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no IPv4 network: {wanted}") from None
    if network.prefixlen > 28:
        raise ValueError(f"{quoted(text)} is too narrow: {wanted}")
    if text.partition("/")[0] != str(network.network_address):
        raise ValueError(
            f"{quoted(text)} is an address within a network: write {network}, or another network"
        )
    return text


def _label(text: str) -> tuple[str, str]:
    from roj.api.names import LABEL_KEY

    key, equals, value = text.partition("=")
    if not equals or not LABEL_KEY.fullmatch(key):
        raise ValueError(f"{quoted(text)}: write K=V, with K of letters, digits, '.', '_', '/' and '-'")
    return key, value


def _controller(name: str) -> str:
    known = ("deploy", "image-puller", "pulls-ahead", "anti-entropy", "garbage-collection")
    if name not in known:
        raise ValueError(f"there is no controller {quoted(name)}: {', '.join(known)}")
    return name


@contextmanager
def ended() -> Iterator[None]:
    """Says why an agent could not start, and ends with the exit code for it."""
    from roj.agent.http import AddressInvalid
    from roj.agent.process import AgentError, HeldElsewhere
    from roj.agent.state_directory import StateDirectoryBusy, StateDirectoryUnusable
    from roj.cli.errors import CONFLICT, FAILED, USAGE
    from roj.runtime.interface import RuntimeFailure

    try:
        yield
    except AgentError as error:
        code = error.code
        problem: Exception = error
    except (HeldElsewhere, StateDirectoryBusy) as error:
        code, problem = CONFLICT, error
    except (AddressInvalid, RuntimeFailure, StateDirectoryUnusable) as error:
        code, problem = USAGE, error
    except OSError as error:
        code, problem = FAILED, error
    else:
        return
    say(f"roj: {problem}")
    click.get_current_context().exit(code)
