"""What a command is run with: the store to speak to, the environment, who asks; and where chatter goes."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from roj.client.client import Client
    from roj.environment import Environment
    from roj.store.interface import Store

STORE_TIMEOUT = 10.0
"""Seconds after which a command gives up on the store."""
GARBAGE = 200_000
"""Objects that are made before Python looks for cycles among them; its own number is 700."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What holds for one call of `roj`; `context.obj` of click."""

    store: str | None = None
    """`--store`, where it was given."""
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Environment variables."""
    environment: Environment | None = None
    """Clock, ids, threads; None: the real ones, made when first needed."""

    def the_environment(self) -> Environment:
        if self.environment is None:
            from roj.environment import RealEnvironment

            self.environment = RealEnvironment()
        return self.environment


def settings_of(context: click.Context) -> Settings:
    """The settings of this call."""
    return context.ensure_object(Settings)


def _take_store(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        settings_of(context).store = value


def store_option(function: Function) -> Function:
    """Adds `--store`, which may stand before or behind a command's name; `opened` uses it."""
    return click.option(
        "--store",
        metavar="URL",
        expose_value=False,
        callback=_take_store,
        help="The store: consul://HOST:PORT or sqlite:///PATH. Default: ROJ_STORE, then CONSUL_*.",
    )(function)


@contextmanager
def opened_store(context: click.Context) -> Iterator[Store]:
    """The store that this call speaks to; it is closed at the end.

    Raises:
        StoreUnavailable, StoreDenied: from the store's calls.
        InvalidInput: the address is none.
    """
    from roj.store.address import open_store

    # A reader makes hundreds of thousands of objects and no cycles: with Python's own number a quarter of a listing of
    # 10,000 instances went into looking for cycles.
    gc.set_threshold(GARBAGE)
    settings = settings_of(context)
    store = open_store(settings.store, settings.the_environment(), settings.variables)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(context: click.Context, *, dry_run: bool = False) -> Iterator[Client]:
    """A client of the store that this call speaks to, which writes nothing in a dry run; raises as `opened_store`."""
    from roj.client.client import Client

    settings = settings_of(context)
    with opened_store(context) as store:
        yield Client(store, settings.the_environment(), who(settings.variables), dry_run)


def who(variables: Mapping[str, str]) -> str:
    """Who asks, for the record: `user@host`; under sudo the user who called it."""
    import getpass
    import socket

    try:
        user = variables.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def say(text: str) -> None:
    """Tell the operator something that is no data: stderr."""
    click.echo(text, err=True)
