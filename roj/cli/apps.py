"""`roj create` and `roj remove`: apps written and removed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from roj.api.app import AppSpec
from roj.api.faults import Fault, InvalidInput
from roj.api.names import parse_app_reference
from roj.cli.context import opened, say, store_option
from roj.cli.flags import file_content, pairs_of, port_of, taken
from roj.cli.plans import DRY_RUN, dry_run_options, end_of_plan, refuse_exit_code

why_option = click.option(
    "-m", "--why", metavar="WHY", default="", help="Why: kept with the change, or in its event."
)
"""Every command that writes takes it."""


class _WithCommand(click.Command):
    """What stands behind `--` is the container's command, and never taken for an argument of roj's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


_COMMAND = "roj.command"


@click.command(cls=_WithCommand)
@click.argument("reference", metavar="NAME:VERSION")
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option(
    "-p", "--port", "ports", metavar="[NAME=]CONTAINER[:HOST][/tcp|udp]", multiple=True,
    help="Publish a port of the container, first, at a port of the node, second (Docker's order reversed). HOST left "
    "out: a port that the node chooses and keeps. container=80,host=8080 says the same.",
)  # fmt: skip
@click.option("-e", "--env", "env", metavar="K=V", multiple=True, help="Set an environment variable.")
@click.option(
    "-v", "--volume", "volumes", metavar="SRC:DST[:ro]", multiple=True,
    help="A named volume or a path of the node, first, at a path of the container. roj never removes a volume.",
)  # fmt: skip
@click.option("--label", "labels", metavar="K=V", multiple=True, help="Set a label of the container.")
@click.option(
    "--update",
    type=click.Choice(["start-first", "stop-first"]),
    help="Whether an upgrade starts the new container before it stops the old one. Default: where nothing forbids it.",
)
@click.option(
    "--launch-timeout", metavar="DURATION",
    help="When an upgrade that is not launched has failed, from the end of the pull. Default: 60s.",
)  # fmt: skip
@click.option("-f", "--file", "file", metavar="FILE", help="Read the app from YAML or JSON; - is stdin.")
@dry_run_options(DRY_RUN)
@why_option
@store_option
@click.pass_context
def create(
    context: click.Context,
    /,
    reference: str,
    image: str | None,
    file: str | None,
    *,
    dry_run: bool,
    exit_code: bool,
    **flags: Any,
) -> None:
    """Write an app: an immutable definition NAME:VERSION of one or more containers.

    The same again is no change; another definition under the same NAME:VERSION is refused (5).

    \b
    roj create web:v1 nginx:1.27 -p 80:8080 -e MODE=production -v data:/var/lib/data
    roj create dns:v1 coredns:1.11 -p 53:53/udp
    roj create job:v1 busybox:1.36 -- sh -c "echo hello; sleep 1000"
    roj create web:v2 -f web.yaml

    \b
    The file:
        containers:                 # started in this order; they reach each other by name
        - name: web
          image: nginx:1.27
          ports: [{container: 80, host: 8080}]
          env: {MODE: production}
          volumes: ["data:/var/lib/data"]
    """
    from roj.client.apps import create_app

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    faults: list[Fault] = []
    flags["command"] = context.meta[_COMMAND]
    found = taken("NAME:VERSION", parse_app_reference, [reference], faults)
    if file is not None:
        if image is not None or any(flags[word] for word in _OF_FLAGS):
            raise click.UsageError("-f goes with no IMAGE, flags or COMMAND: the file says it all.", context)
        spec = _checked(lambda: _spec_of_file(file), faults)
    elif image is None:
        raise click.UsageError("Name an IMAGE, or a file with -f.", context)
    else:
        spec = _checked(lambda: _spec(found[0][0] if found else "app", image, flags), faults)
    name, version = found[0]
    with opened(context, dry_run=dry_run) as client:
        written = create_app(client, name, version, spec, flags["why"])
    _tell_ports(spec)
    if not written:
        say(f"app {name}:{version} is there already, the same")
    else:
        say(f"app {name}:{version} would be created" if dry_run else f"created app {name}:{version}")
    end_of_plan(context, exit_code=exit_code, changes=written)


def _checked(read: Callable[[], AppSpec], faults: list[Fault]) -> AppSpec:
    """What `read` gives. Raises InvalidInput, with its faults and those found before."""
    try:
        spec = read()
    except InvalidInput as more:
        raise InvalidInput([*faults, *more.faults]) from None
    if faults:
        raise InvalidInput(faults)
    return spec


def _tell_ports(spec: AppSpec) -> None:
    """Which number is whose: the order of `-p` is Docker's reversed."""
    for container in spec.containers:
        of = "of the container" if len(spec.containers) == 1 else f"of {container.name}"
        for port in container.ports:
            udp = "/udp" if port.protocol == "udp" else ""
            variable = f"ROJ_PORT_{port.container}" + ("_UDP" if udp else "")
            at = (
                f"port {port.host} of the node"
                if port.host is not None
                else f"a port that each node chooses ({variable} in the container)"
            )
            say(f"port {port.container}{udp} {of} is reached at {at}")


def _spec_of_file(file: str) -> AppSpec:
    """The app that a file describes. Raises InvalidInput, with all faults and their places."""
    faults: list[Fault] = []
    content = file_content(file, faults)
    if not isinstance(content, dict):
        raise InvalidInput([*faults, Fault(file, "is no app file: `containers:` with a list is what it has")])
    return _checked(lambda: AppSpec.checked(content), faults)


def _spec(name: str, image: str, flags: dict[str, Any]) -> AppSpec:
    """The app that the flags describe. Raises InvalidInput, with all faults."""
    faults: list[Fault] = []
    ports: list[dict[str, Any]] = []
    texts: list[str] = []
    for text in flags["ports"]:
        for port in taken("-p", port_of, [text], faults):
            ports.append(port)
            texts.append(text)
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "ports": ports,
        "env": pairs_of("-e", flags["env"], faults),
        "volumes": list(flags["volumes"]),
        "labels": pairs_of("--label", flags["labels"], faults),
    }
    if flags["command"]:
        container["command"] = list(flags["command"])
    fields: dict[str, Any] = {"containers": [container]}
    fields |= {word: flags[word] for word in ("update", "launch_timeout") if flags[word] is not None}
    try:
        spec = AppSpec.checked(fields)
    except InvalidInput as more:
        faults.extend(Fault(_flag(fault.place, texts), fault.problem) for fault in more.faults)
    if faults:
        raise InvalidInput(faults)
    return spec


_FLAGS = {
    "ports": "-p",
    "env": "-e",
    "volumes": "-v",
    "labels": "--label",
    "image": "IMAGE",
    "name": "NAME",
    "command": "COMMAND",
    "update": "--update",
    "launch_timeout": "--launch-timeout",
}
_OF_FLAGS = ("ports", "env", "volumes", "labels", "command", "update", "launch_timeout")
"""What a file says in their place."""


def _flag(place: str, ports: list[str]) -> str:
    """The flag that a place in the specification came from."""
    within = place.removeprefix("containers[0]").removeprefix(".")
    port = re.match(r"ports\[(\d+)\]", within)
    if port is not None:
        return f"-p {ports[int(port[1])]}"
    field, _, key = within.partition(".")
    flag = _FLAGS.get(field.partition("[")[0], within)
    return f"{flag} {key}" if key else flag


def references_of(texts: list[str]) -> list[tuple[str, str]]:
    """Name and version of each `NAME:VERSION`, each once. Raises InvalidInput, with all faults."""
    faults: list[Fault] = []
    found = taken("NAME:VERSION", parse_app_reference, texts, faults)
    if faults:
        raise InvalidInput(faults)
    return list(dict.fromkeys(found))


@click.command()
@click.argument("references", metavar="NAME:VERSION...", nargs=-1, required=True)
@dry_run_options(DRY_RUN)
@why_option
@store_option
@click.pass_context
def remove(
    context: click.Context, /, *, references: tuple[str, ...], dry_run: bool, exit_code: bool, why: str
) -> None:
    """Remove apps that no instance uses, nor may be rolled back to; all or none (5 if one is in use).

    `roj events` tells of it, with WHY.

    \b
    roj remove web:v1 -m "superseded by v2"
    roj remove web:v1 web:v2
    """
    from roj.client.apps import remove_apps

    refuse_exit_code(context, exit_code=exit_code, dry_run=dry_run)
    apps = references_of(list(references))
    with opened(context, dry_run=dry_run) as client:
        remove_apps(client, apps, why)
    names = ", ".join(f"{name}:{version}" for name, version in apps)
    say(f"{names} would be removed" if dry_run else f"removed {names}")
    end_of_plan(context, exit_code=exit_code, changes=True)
