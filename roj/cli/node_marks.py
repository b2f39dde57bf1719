"""`roj node label`, `cordon`, `drain`, `freeze`, `window`, `forget` and their opposites: what is declared of nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from roj.api.duration import parse_duration
from roj.api.faults import Fault, InvalidInput, quoted
from roj.api.selector import Selector, check_label
from roj.api.when import in_full
from roj.api.window import parse_window
from roj.cli.apps import why_option
from roj.cli.choosing import confirm, nodes_of, selector_of, selector_option, yes_option
from roj.cli.context import Function, opened, say, store_option
from roj.cli.flags import taken
from roj.cli.plans import dry_run_options, end_of_plan, refuse_exit_code

if TYPE_CHECKING:
    from roj.client.client import Client
    from roj.client.nodes import Edit, NodeChange
    from roj.client.selection import StoredNode

DRY_RUN = "Say what would be written; write nothing."


def _write_options(function: Function) -> Function:
    """Adds what `_Asked` has, and the context."""
    return dry_run_options(DRY_RUN)(selector_option(why_option(store_option(function))))


_nodes = click.argument("names", metavar="[NODE]...", nargs=-1)


@click.command(short_help="Set and take off labels.")
@click.argument("words", metavar="[NODE] KEY=VALUE|KEY-...", nargs=-1, required=True)
@_write_options
@click.pass_context
def label(context: click.Context, /, *, words: tuple[str, ...], **common: Any) -> None:
    """Set labels of a node, and take off those that are written KEY-.

    Nodes are chosen by their labels with -l, in every command that is for nodes.

    \b
    roj node label node1 role=web zone=a
    roj node label node1 zone-
    roj node label -l zone=a site=berlin
    """
    from roj.client.nodes import labelled

    asked, pairs = _Asked.first(words, **common)
    labels: dict[str, str | None] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        taken_off = not equals and key.endswith("-")
        key = key[:-1] if taken_off else key
        if not equals and not taken_off:
            asked.faults.append(
                Fault("KEY=VALUE", f"{quoted(pair)}: write KEY=VALUE, or KEY- to take one off")
            )
        elif key in labels:
            asked.faults.append(Fault("KEY=VALUE", f"{key} is given twice"))
        else:
            try:
                check_label(key, value)
            except ValueError as problem:
                asked.faults.append(Fault("KEY=VALUE", str(problem)))
            labels[key] = None if taken_off else value
    if not pairs:
        asked.faults.append(Fault("KEY=VALUE", "name a label"))

    def words_of(change: NodeChange) -> str:
        now = ",".join(f"{key}={value}" for key, value in sorted(change.after.labels.items()))
        return f"has the labels {now}" if now else "has no labels"

    _change(context, asked, labelled(labels), words_of)


@click.command(short_help="Take no new instances.")
@_nodes
@_write_options
@click.pass_context
def cordon(context: click.Context, /, *, names: tuple[str, ...], **common: Any) -> None:
    """Let nodes take no new instances: `roj deploy` is refused (5). What is there goes on, and may be upgraded.

    \b
    roj node cordon node1 -m "to be replaced"
    """
    from roj.client.nodes import cordoned

    _change(context, _Asked(names, **common), cordoned, lambda _: "takes no new instances")


@click.command(short_help="Take new instances again; ends a drain.")
@_nodes
@_write_options
@click.pass_context
def uncordon(context: click.Context, /, *, names: tuple[str, ...], **common: Any) -> None:
    """Let nodes take new instances again. It ends a drain, too: what was drained starts again.

    \b
    roj node uncordon node1
    """
    from roj.client.nodes import uncordoned

    def words_of(change: NodeChange) -> str:
        drained = change.before.drained is not None and change.after.drained is None
        return "takes new instances" + ("; what was drained starts again" if drained else "")

    _change(context, _Asked(names, **common), uncordoned, words_of)


@click.command(short_help="Stop what runs on nodes, for now.")
@_nodes
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many stop at once.",
)
@yes_option
@_write_options
@click.pass_context
def drain(
    context: click.Context, /, *, names: tuple[str, ...], parallel: int, yes: bool, **common: Any
) -> None:
    """Cordon nodes and stop their instances, in the order of their ids. Their goals stay: uncordon starts them again.

    Returns when it is written down; `roj wait --node NODE --for stopped` waits until it is done.

    \b
    roj node drain node1 -m "new kernel"
    roj node drain node1 --parallel 4
    roj node uncordon node1
    """
    from roj.client.nodes import drained

    asked = _Asked(names, **common)
    many = bool(asked.selector) and not yes and not asked.dry_run
    _change(
        context,
        asked,
        drained(parallel),
        lambda _: "is drained: its instances stop",
        stops="stop" if many else None,
    )


@click.command(short_help="Change nothing on nodes, for a while.")
@_nodes
@click.option("--for", "duration", metavar="DURATION", help="For so long: 30m, 2h. Default: until unfreeze.")
@_write_options
@click.pass_context
def freeze(context: click.Context, /, *, names: tuple[str, ...], duration: str | None, **common: Any) -> None:
    """Let the agents of nodes observe and report, and change nothing: no start, no stop, no repair.

    What is ordered meanwhile is done afterwards. Docker alone still restarts what ends.

    \b
    roj node freeze node1 --for 2h -m "looking into the disk"
    roj node unfreeze node1
    """
    from roj.client.nodes import frozen

    asked = _Asked(names, **common)
    seconds: float | None = None
    if duration is not None:
        seconds = next(iter(taken("--for", parse_duration, [duration], asked.faults)), 1.0)
        if seconds <= 0:
            asked.faults.append(Fault("--for", "a freeze lasts longer than that"))

    def words_of(change: NodeChange) -> str:
        until = change.after.frozen.until if change.after.frozen is not None else None
        return "is frozen" + (f" until {in_full(until)}" if until is not None else "")

    _change(context, asked, frozen(seconds), words_of)


@click.command(short_help="Work on nodes again.")
@_nodes
@_write_options
@click.pass_context
def unfreeze(context: click.Context, /, *, names: tuple[str, ...], **common: Any) -> None:
    """Let the agents of nodes work again: what was ordered meanwhile is done now.

    \b
    roj node unfreeze node1
    """
    from roj.client.nodes import unfrozen

    _change(context, _Asked(names, **common), unfrozen, lambda _: "is not frozen")


@click.command(short_help="Say when changes may end a service.")
@click.argument("words", metavar='[NODE] "WINDOW"...', nargs=-1)
@click.option("--clear", is_flag=True, help="Changes may be made at any time again.")
@_write_options
@click.pass_context
def window(context: click.Context, /, *, words: tuple[str, ...], clear: bool, **common: Any) -> None:
    """Let changes that end a service (stop, undeploy, upgrade, rollback) wait for a maintenance window.

    These windows take the place of those before. Repairs, starts and new instances do not wait; `--now` on a change
    overrides it. A window is days (Mon, Mon-Fri, Sat,Sun, daily), from when to when, and a time zone, UTC where none is
    named; one that ends before it begins goes over midnight.

    \b
    roj node window node1 "Sat 02:00-04:00 Europe/Warsaw"
    roj node window node1 "Mon-Fri 22:00-05:00" "Sat,Sun 00:00-24:00"
    roj node window -l env=prod "daily 03:00-04:00"
    roj node window node1 --clear
    """
    from roj.client.nodes import windowed

    asked, texts = _Asked.first(words, **common)
    taken("WINDOW", parse_window, texts, asked.faults)
    if bool(texts) == clear:
        asked.faults.append(Fault("WINDOW", 'write one, as "Sat 02:00-04:00 Europe/Warsaw", or --clear'))

    def words_of(change: NodeChange) -> str:
        open_ = "; ".join(change.after.windows)
        return f"ends services only within {open_}" if open_ else "makes changes at any time"

    windows = list(dict.fromkeys(text.strip() for text in texts))
    _change(context, asked, windowed(windows), words_of)


@click.command(short_help="Declare that nodes will not come back.")
@_nodes
@click.option("--yes", is_flag=True, help="It is meant.")
@_write_options
@click.pass_context
def forget(context: click.Context, /, *, names: tuple[str, ...], yes: bool, **common: Any) -> None:
    """Declare that nodes will not come back. Their instances can then be undeployed without them.

    Refused (5) while a node's agent is there. Should the machine come back after all, its agent touches nothing, until
    `roj node rejoin`.

    \b
    roj node forget node1 --yes -m "the machine burnt down"
    roj undeploy --node node1 --yes
    """
    from roj.client.nodes import forget_nodes

    asked = _Asked(names, **common)
    if not yes and not asked.dry_run:
        asked.faults.append(Fault("--yes", "say that it is meant"))
    selector = asked.checked(context)
    with opened(context) as client:
        told = _told(lambda _: "is forgotten; its agent, should it come back, touches nothing", asked.dry_run)
        nodes = nodes_of(client, asked.names, selector)
        done = forget_nodes(client, nodes, why=asked.why, dry_run=asked.dry_run, told=told)
    end_of_plan(context, exit_code=asked.exit_code, changes=any(change.written for change in done))


@click.command(short_help="Take back nodes that were forgotten.")
@_nodes
@_write_options
@click.pass_context
def rejoin(context: click.Context, /, *, names: tuple[str, ...], **common: Any) -> None:
    """Take back nodes that were forgotten: their agents work again.

    Instances that were undeployed meanwhile are unclaimed there: `roj adopt` or `roj undeploy` them.

    \b
    roj node rejoin node1 -m "repaired"
    """
    from roj.client.nodes import rejoined

    _change(context, _Asked(names, **common), rejoined, lambda _: "is not forgotten", rejoins=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every command here is given."""

    names: tuple[str, ...]
    selector: tuple[str, ...]
    why: str
    dry_run: bool
    exit_code: bool
    faults: list[Fault] = field(default_factory=list)
    """What is wrong with the words, to be told at once."""

    @classmethod
    def first(cls, words: tuple[str, ...], **common: Any) -> tuple[_Asked, tuple[str, ...]]:
        """Where the first word is the node, unless nodes are chosen by their labels; with the other words."""
        split = 0 if common["selector"] else 1
        return cls(words[:split], **common), words[split:]

    def checked(self, context: click.Context) -> Selector | None:
        """The selector, if there is one; else nodes are named.

        Raises:
            InvalidInput: with every fault.
        """
        refuse_exit_code(context, exit_code=self.exit_code, dry_run=self.dry_run)
        selector = selector_of(self.selector, self.faults)
        if bool(self.names) == bool(self.selector):
            self.faults.append(Fault("NODE", "name a node, or choose nodes by -l"))
        if self.faults:
            raise InvalidInput(self.faults)
        return selector


def _change(
    context: click.Context,
    asked: _Asked,
    edit: Edit,
    words_of: Callable[[NodeChange], str],
    *,
    stops: str | None = None,
    rejoins: bool = False,
) -> None:
    """Write a change of the nodes that are meant, and tell of each.

    Args:
        stops: ask before, as this is what becomes of the instances there.
        rejoins: it is for nodes that were forgotten.
    """
    from roj.client.nodes import change_nodes

    selector = asked.checked(context)
    with opened(context) as client:
        nodes = nodes_of(client, asked.names, selector)
        if stops is not None:
            confirm(stops, _instances_on(client, nodes), yes=False)
        done = change_nodes(
            client, nodes, edit, why=asked.why, dry_run=asked.dry_run, rejoins=rejoins,
            told=_told(words_of, asked.dry_run),
        )  # fmt: skip
    end_of_plan(context, exit_code=asked.exit_code, changes=any(change.written for change in done))


def _instances_on(client: Client, nodes: Sequence[StoredNode]) -> tuple[str, ...]:
    from roj.client.selection import Choice, select_instances

    return select_instances(
        client, Choice(nodes=tuple(stored.name for stored in nodes)), none=True
    ).references


def _told(words_of: Callable[[NodeChange], str], dry_run: bool) -> Callable[[NodeChange], None]:
    def tell(change: NodeChange) -> None:
        already = "" if change.written else ", already"
        would = "would be written: " if dry_run and change.written else ""
        say(f"{would}{change.name} {words_of(change)}{already}")
        if change.away and change.written and change.after.forgotten is None:
            say(f"{change.name} is away: its agent obeys that when it is back")

    return tell
