"""How a node stands to its cluster: what a look at the store came to, in a word and for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from roj.agent.lease import describe
from roj.api.node import MachineIdentity, Mark
from roj.api.record import rfc3339
from roj.store.interface import StoreError

State = Literal["offline", "joined", "standby", "foreign", "empty"]
"""As `roj.agent.membership` explains them."""

AS_TOLD = "What this node was last told is kept and repaired, and nothing is reported."


@dataclass(frozen=True, slots=True)
class Standing:
    """What a look at the store came to."""

    state: State
    problem: str | None = None
    """What is wrong and what can be done; None: nothing is."""
    failure: StoreError | None = field(default=None, compare=False)
    """How the store failed, where that is the problem."""


def forgotten(node: str, mark: Mark) -> Standing:
    """An operator has forgotten the node."""
    who = f" by {mark.who}" if mark.who else ""
    why = f" ({mark.why})" if mark.why else ""
    return Standing(
        "standby",
        f"node {node} was forgotten{who} at {rfc3339(mark.when)}{why}: its containers are left as they are, and "
        "nothing is done until it rejoins",
    )


def held_elsewhere(node: str, holder: MachineIdentity | None) -> Standing:
    """Another machine holds the node's lease."""
    return Standing(
        "standby",
        f"the lease of node {node} is held by {describe(holder)}: nothing is changed here until it is free, or the "
        "agent is started with --takeover",
    )


def failed(address: str, error: StoreError, *, known: bool) -> Standing:
    """The store did not answer as it should; `known`: the node was in a cluster before."""
    then = AS_TOLD if known else "This node was never in a cluster: nothing to do until it can be reached."
    return Standing("offline", f"the store at {address} failed: {error}. {then}", error)


def not_renewed(node: str) -> Standing:
    """The lease may have ended, as the store was not heard of."""
    return Standing("offline", f"the lease of node {node} could not be renewed in time. {AS_TOLD}")
