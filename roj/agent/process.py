"""`roj agent` as a process: real clock, disk, store and Docker; signals; the endpoint; `--once`."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from roj.agent.agent import Agent
from roj.agent.clock import Clock
from roj.agent.http import Answer, Endpoint
from roj.agent.lease import HeldElsewhere
from roj.agent.machine import identity
from roj.agent.options import AgentOptions, default_state_directory
from roj.agent.shortfall import exit_code, is_idle
from roj.agent.state_directory import StateDirectory, usable
from roj.api.names import check_name
from roj.api.node import MachineIdentity
from roj.controllers.garbage import Garbage
from roj.controllers.garbage_collection import CollectionRefused
from roj.environment import Environment, RealEnvironment
from roj.framework import log as logs
from roj.runtime.address import open_runtime
from roj.runtime.interface import Runtime, RuntimeFailure
from roj.store.address import open_store
from roj.store.interface import Store, StoreDenied, StoreError

log = logging.getLogger(__name__)

GLANCE = 0.2
"""Seconds between two looks of `--once` at whether all is done."""
PATIENCE = 10.0
"""Seconds that `--once` waits for what is not its own work: a store or Docker that does not answer, a right, an order."""


class AgentError(Exception):
    """The agent cannot start: what happened and what to do, with the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(options: AgentOptions, variables: Mapping[str, str] | None = None) -> int:
    """Run the agent until it is told to end by SIGTERM or SIGINT, or, with `once`, until all is as it should be.

    Returns: 0; with `once` 3 where not everything converged in time, 6 where that is because the store or Docker could
        not be reached, 7 where the store denies it.

    Raises:
        AgentError: it cannot start.
        StateDirectoryBusy: another agent works with the state directory.
        StateDirectoryUnusable: it cannot be made, read or written.
        HeldElsewhere: another machine holds the node's lease.
        AddressInvalid: `--http` cannot be listened on.
        ValueError: the address of the store or of Docker is none.
    """
    environment = RealEnvironment()
    variables = os.environ if variables is None else variables
    logs.set_up(
        environment.now,
        form="json" if options.log_format == "json" else "text",
        level=logging.getLevelNamesMapping()[options.log_level.upper()],
    )
    with ExitStack() as stack:
        store = open_store(options.store, environment, variables)
        stack.callback(store.close)
        runtime = open_runtime(options.docker, environment, variables)
        stack.callback(runtime.close)
        node = _node_name(options, store)
        options = replace(options, state_dir=options.state_dir or default_state_directory(node))
        assert options.state_dir is not None
        ended = _Ended(environment)
        with usable(options.state_dir):
            state = StateDirectory(options.state_dir)
            stack.callback(state.close)
            agent = Agent(
                environment,
                options,
                node,
                store=store,
                runtime=runtime,
                state=state,
                identity=_Identity(environment, state, runtime),
                clock=Clock(environment),
                fatal=ended.fatally,
            )
        log.info(
            "node %s, store %s, Docker %s, state in %s", node, store.address, runtime.address, state.path
        )
        with _signals(ended):
            agent.start()
            try:
                with _endpoint(environment, options, state.path, agent, ended):
                    code = _once(environment, options, agent, ended) if options.once else ended.wait()
            finally:
                log.info("stopping; every container is left as it is")
                agent.stop()
        return code


class _Ended:
    """Why the process is to end."""

    def __init__(self, environment: Environment) -> None:
        self.event = environment.event()
        self.problem: str | None = None

    def fatally(self, problem: str) -> None:
        log.critical("%s; ending, so that it is started anew", problem)
        self.problem = problem
        self.event.set()

    def wait(self) -> int:
        while not self.event.wait(1.0):  # a signal is noticed between two waits
            pass
        return 1 if self.problem else 0


class _Identity:
    """Who this machine is. The Docker daemon's id is remembered, as Docker may be away when the agent starts."""

    def __init__(self, environment: Environment, state: StateDirectory, runtime: Runtime) -> None:
        self._environment = environment
        self._state = state
        self._runtime = runtime
        found = state.read("identity")
        if found is None:
            state.write("identity", environment.new_id().encode())
            found = state.read("identity")
        assert found is not None
        self._state_id = found.value.decode()
        try:  # again, so that there is a previous copy: with both lost this machine is another one to its own lease
            state.write("identity", found.value)
        except OSError as error:
            log.warning("no second copy of the node's identity could be written: %s", error)

    def __call__(self) -> MachineIdentity:
        remembered = self._state.read("docker")
        docker = remembered.value.decode() if remembered is not None else ""
        try:
            current = self._runtime.info().id
        except RuntimeFailure:
            current = docker
        if current != docker:
            self._state.write("docker", current.encode())
        return identity(self._state_id, current, self._environment)


def _node_name(options: AgentOptions, store: Store) -> str:
    """The name that was given, else Consul's for this machine, else that of the one node that has state here."""
    if options.node is not None:
        return options.node
    try:
        name = store.node_name().lower()
    except StoreError as error:
        known = _nodes_with_state()
        if len(known) == 1:
            log.warning("the store cannot be reached; this is %s by its state directory: %s", known[0], error)
            return known[0]
        if isinstance(error, StoreDenied):
            raise AgentError(
                f"the store {error}, and so this node's name is not known. {error.advice} "
                "Or give the name with --node NAME",
                7,
            ) from error
        raise AgentError(
            f"the store at {store.address} cannot be reached, and so this node's name is not known: {error}. "
            f"{error.advice + ' ' if error.advice else ''}Give the name with --node NAME, or start Consul",
            6,
        ) from error
    try:
        return check_name(name)
    except ValueError as problem:
        raise AgentError(
            f"Consul's name for this machine: {problem}. Give another with --node NAME", 2
        ) from problem


def _nodes_with_state() -> list[str]:
    top: Path = default_state_directory("node").parent
    return sorted(file.parent.name for file in top.glob("*/cluster"))


def _once(environment: Environment, options: AgentOptions, agent: Agent, ended: _Ended) -> int:
    worked = environment.monotonic()
    deadline = worked + options.once_timeout
    while (missing := agent.unconverged()) and not ended.event.is_set():
        now = environment.monotonic()
        if not is_idle(missing):
            worked = now
        if now >= min(deadline, worked + PATIENCE):
            break
        environment.sleep(GLANCE)
    for each in missing:
        log.warning("not converged: %s", each.words)
    return exit_code(missing)


@contextmanager
def _signals(ended: _Ended) -> Iterator[None]:
    """SIGTERM and SIGINT end the agent in order; the second ends the process at once."""

    def told(number: int, _: object) -> None:
        if ended.event.is_set():
            os._exit(128 + number)
        ended.event.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _endpoint(
    environment: Environment, options: AgentOptions, directory: Path, agent: Agent, ended: _Ended
) -> Iterator[None]:
    endpoint = Endpoint(
        environment,
        directory,
        options.http,
        metrics=agent.metrics.text,
        healthy=lambda: ended.problem,
        ready=agent.not_ready,
        collect=lambda do: _collect(agent, do),
    )
    try:
        yield
    finally:
        endpoint.close()


def _collect(agent: Agent, do: bool) -> Answer:
    """`roj node gc`: the plan, or what came of it."""
    try:
        found = agent.garbage.plan()
        if do:
            found = agent.garbage.collect(list(found))
    except CollectionRefused as why:
        return 503, "text/plain", f"nothing is collected: {why}\n"
    except RuntimeFailure as error:
        return 503, "text/plain", f"Docker does not answer: {error}\n"
    return 200, "application/json", json.dumps([_row(item) for item in found])


def _row(item: Garbage) -> dict[str, object]:
    return {"what": item.what, "id": item.id, "name": item.name, "why": item.why, "size": item.size}


__all__ = ["AgentError", "HeldElsewhere", "run"]
