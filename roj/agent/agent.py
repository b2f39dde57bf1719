"""The agent: one node's process, put together from its parts.

    membership   cluster id, sentinel, lease           watcher      desired/<node>/ -> orders
    orders       what is obeyed, written down first    controllers  deploy, images, anti-entropy, garbage
    reporter     statuses and events                   endpoint     metrics, health, garbage (roj/agent/process.py)

All that it needs of the world is passed in: a simulation runs it as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from roj.agent.leader import Leader
from roj.agent.membership import Membership
from roj.agent.node_status import NodeStatusReport
from roj.agent.options import AgentOptions
from roj.agent.shortfall import Shortfall, of_docker, of_store
from roj.api import keys
from roj.api.node import MachineIdentity
from roj.controllers import anti_entropy, garbage_collection, image_puller, labels
from roj.controllers.actions import Pull
from roj.controllers.anti_entropy import AntiEntropy
from roj.controllers.crashes import Crashes
from roj.controllers.deploy import Deploy
from roj.controllers.garbage_collection import GarbageCollection, Limits
from roj.controllers.gate import frozen, gate
from roj.controllers.hands import Hands
from roj.controllers.image_puller import ImagePuller
from roj.controllers.labels import Owned
from roj.controllers.look import Looker
from roj.controllers.orders import Orders
from roj.controllers.pulls_ahead import PullsAhead
from roj.controllers.state import StateDirectory
from roj.controllers.this_node import ThisNode
from roj.environment import Environment, Thread
from roj.framework.controller import Controller
from roj.framework.counted import CountedStore
from roj.framework.extension import Context
from roj.framework.manager import Manager
from roj.framework.metrics import Metrics
from roj.framework.reporter import Reporter
from roj.framework.supervisor import Supervisor
from roj.framework.watcher import View, Watcher
from roj.runtime.interface import Runtime, RuntimeFailure, RuntimeUnavailable
from roj.store.interface import Store, StoreError
from roj.store.pool import StorePool

log = logging.getLogger(__name__)

DEPLOY_WORKERS = 8
"""Instances that are worked on at once."""
STALE = 150.0
"""Seconds without a believed answer of the store after which the node is not ready: two waits of a blocking query and
their slack."""
STOP = 12.0
"""Seconds that a stop may take, of the 15 that the command promises."""


_EXPECTED = (RuntimeUnavailable,)


class _NoPuller:
    """In place of an image puller that is left out: images must be there already."""

    def ask(self, reference: str, since: float = 0.0) -> Pull:
        return Pull(f"{reference} is not on the node, and its agent runs no image puller")


class Agent:
    """One node's agent."""

    def __init__(
        self,
        environment: Environment,
        options: AgentOptions,
        node: str,
        *,
        store: Store,
        runtime: Runtime,
        state: StateDirectory,
        identity: Callable[[], MachineIdentity],
        clock: Callable[[], str] = lambda: "",
        fatal: Callable[[str], None] = log.critical,
    ) -> None:
        """Put the parts together; nothing runs before `start`.

        Args:
            environment: clock, threads, randomness.
            options: the flags of `roj agent`.
            node: the node's name.
            store: is cloned, not used.
            runtime: the node's containers.
            state: the node's own disk.
            identity: who this machine is.
            clock: how far the machine's clock may be wrong, in words that change seldom; for one thread.
            fatal: called when a part cannot be kept running; the process should end.
        """
        self.node = node
        self._environment = environment
        self._options = options
        self._runtime = runtime
        self._clock = clock
        self._started = environment.event()
        self._stopping = environment.event()
        self._threads: list[Thread] = []
        self.metrics = Metrics()
        self.supervisor = Supervisor(environment, self.metrics, fatal)
        store = CountedStore(store, self.metrics)
        self._clients = StorePool(environment, store)
        self._store = store
        self.membership = Membership(
            environment, store, state, node, identity,
            takeover=options.takeover, labels=dict(options.labels), served=self._served,
            changed=self._membership_changed,
            place=str(options.state_dir or "DIR"),
        )  # fmt: skip
        self.reporter = Reporter(environment, store, node, metrics=self.metrics)
        self._reporting = False
        self._status = NodeStatusReport(environment, node, self.reporter, address=self._address)
        self._scope = ThisNode(
            name=node,
            cluster=lambda: self.membership.cluster_id or "",
            may_act=lambda: self.membership.may_act,
            record=lambda: self.membership.record,
            frozen=lambda: frozen(self.membership.record, environment.now()),
            port_range=options.port_range,
            network_pool=options.network_pool,
        )
        self.crashes = Crashes(environment)
        self.orders = Orders(
            environment, state, self._clients, node,
            containers=self._labelled,
            waits=lambda order: gate(order, self.membership.record, environment.now()) is not None,
            wake=self._wake,
        )  # fmt: skip
        self._build_controllers(state)
        self.watcher = Watcher(
            environment, store, keys.desired(node),
            believe=self.membership.believe, changed=self._changed, expected=(OSError, RuntimeFailure),
            metrics=self.metrics,
        )  # fmt: skip
        self._leader: Leader | None = None
        if options.lead != "no":
            self._leader = Leader(
                environment, store, node, options.lead, joined=lambda: self.membership.may_report
            )
        self._manager = Manager(environment, self.supervisor, reporter=self.reporter, metrics=self.metrics)

    def _build_controllers(self, state: StateDirectory) -> None:
        # Lambdas where parts refer to each other: the controller behind the name is made further down.
        environment, without = self._environment, self._options.without
        looker = Looker(environment, self._scope, self._runtime, self.crashes)
        hands = Hands(
            environment, self._scope, self.orders, runtime=self._runtime, looker=looker, crashes=self.crashes
        )
        puller = ImagePuller(
            environment, self._scope, self.orders, self._runtime, state,
            enqueue=lambda reference, reason: self.pulls.enqueue(reference, reason),  # noqa: PLW0108
            wake=lambda id, reason: self.deploys.enqueue(id, reason),  # noqa: PLW0108
            tell=self._tell,
            ahead=lambda reference: self._ahead.wanting(reference),  # noqa: PLW0108
            wake_ahead=lambda key, reason: self.pulls_ahead.enqueue(key, reason),  # noqa: PLW0108
        )  # fmt: skip
        pulls = image_puller.ImagePuller.name not in without
        self._ahead = PullsAhead(
            environment, self._scope, self.orders,
            runtime=self._runtime, clients=self._clients, reporter=self.reporter,
            images=puller if pulls else _NoPuller(),
            enqueue=lambda key, reason: self.pulls_ahead.enqueue(key, reason),  # noqa: PLW0108
        )  # fmt: skip
        self._deploy = Deploy(
            environment, self._scope, self.orders,
            looker=looker, hands=hands, clients=self._clients, reporter=self.reporter,
            images=puller if pulls else _NoPuller(), restarts=self.crashes.restarts, wake=self._wake,
        )  # fmt: skip
        self._anti_entropy = AntiEntropy(
            self._scope, self.orders, self._runtime, self.crashes,
            every=self._options.resync,
            hand_over=lambda id, reason, news: self.deploys.enqueue(id, reason, news=news),
            caused=hands.caused,
            look_now=self._look_now,
            reported=self._reported,
        )  # fmt: skip
        self.garbage = GarbageCollection(
            environment, self._scope, self.orders,
            runtime=self._runtime, puller=puller if pulls else None, clients=self._clients,
            limits=Limits(
                high=self._options.image_gc_high, low=self._options.image_gc_low,
                reap_unclaimed=self._options.reap_unclaimed, shared_images=self._options.collect_shared_images,
            ),
            ahead=self._ahead, believe=self.membership.believe, tell=self._tell,
        )  # fmt: skip

        def controller(name: str, reconcile: Callable[[str], float | None], workers: int = 1) -> Controller:
            return Controller(
                environment, name, reconcile, workers=workers, expected=_EXPECTED, metrics=self.metrics
            )

        self.deploys = controller(Deploy.name, self._deploying, DEPLOY_WORKERS)
        self.pulls = controller(ImagePuller.name, puller.reconcile, image_puller.WORKERS)
        self.pulls_ahead = controller(PullsAhead.name, self._ahead.reconcile)
        self.comparisons = controller(AntiEntropy.name, self._comparing)
        self.collections = controller(GarbageCollection.name, self.garbage.reconcile)
        every = (self.deploys, self.pulls, self.pulls_ahead, self.comparisons, self.collections)
        self._controllers = [part for part in every if part.name not in without]

    # --- life ---

    def start(self) -> None:
        """Join the cluster, as far as it can be reached, and start to work.

        Raises:
            HeldElsewhere: another machine holds the node's lease.
        """
        try:
            self.membership.join()
        except StoreError as error:
            log.warning("the store cannot be reached, working from the state directory: %s", error)
        self._look_at_docker()
        for part in self._controllers:
            self._manager.controller(part)
        self._manager.watch("watch-desired", self.watcher)
        self._manager.extensions(
            Context(
                self._environment, self.node, lambda: self.membership.cluster_id, self._store, self.reporter
            )
        )
        self.reporter.pause()
        self._started.set()
        self._membership_changed()
        for order in self.orders.all():
            self.deploys.enqueue(order.id, "the agent was started", low=True)
        self.comparisons.enqueue(anti_entropy.NODE, "the agent was started")
        self.collections.enqueue(garbage_collection.NODE, after=garbage_collection.EVERY)
        self._manager.start()
        spawn = self.supervisor.spawn
        self._threads = [spawn("membership", self.membership.run, finished=self._stopping.is_set)]
        if self._leader is not None:
            self._threads.append(spawn("leader", self._leader.run, finished=self._leader.stopped))
        if self.comparisons in self._controllers:
            follow = self._anti_entropy.follow
            spawn("docker-events", lambda: follow(self._stopping.is_set), finished=self._stopping.is_set)

    def stop(self) -> bool:
        """End; containers are left as they are. Whether every part ended by itself in time."""
        self._stopping.set()
        self.supervisor.stop()
        if self._leader is not None:
            self._leader.stop()
        ended = self._manager.stop(STOP)
        self.membership.stop()
        for thread in self._threads:
            thread.join(1.0)
        self._clients.close()
        return ended

    def unconverged(self) -> tuple[Shortfall, ...]:
        """What is not as it should be yet; nothing: all is. For `roj agent --once`."""
        found = []
        joined = self.membership.state == "joined"
        if not joined:
            problem = self.membership.problem or f"membership: {self.membership.state}"
            found.append(of_store(problem, self.membership.failure, "stays"))
        elif self.watcher.believed is None:
            found.append(of_store("what is desired was not read yet", self.watcher.failure))
        if self._docker_problem is not None:  # what instances were before it says nothing
            return (*found, of_docker(self._docker_problem))
        if self.watcher.believed is not None or not joined:
            found += self._unfinished()
        if self._manager.busy():
            found.append(Shortfall("work is under way"))
        if self._reporting and not self.reporter.settled():
            found.append(of_store("not everything is reported", self.reporter.failure))
        return tuple(found)

    def _unfinished(self) -> list[Shortfall]:
        found = []
        for order in self.orders.all():
            phase = self._deploy.phase(order.id)
            wanted = {"start": "launched", "stop": "stopped"}.get(order.instance.goal)
            if phase != wanted:
                said = self._deploy.message(order.id)
                words = f"{order.id} is {phase or 'not looked at yet'}" + (f": {said}" if said else "")
                found.append(Shortfall(words, "stays" if phase in ("failed", "held") else "work"))
        unreadable = self.orders.unreadable_ids()
        return found + [Shortfall(f"{id}: {self.orders.unreadable(id)}") for id in unreadable]

    def not_ready(self) -> str | None:
        """Why the node is not ready; None: it is."""
        if self.membership.state != "joined":
            return self.membership.problem or f"membership: {self.membership.state}"
        age = self.watcher.age()
        if age is None or age > STALE:
            return "the store has not given a believable answer for a while"
        return self._state_problem or self._docker_problem

    # --- what wakes what ---

    def _membership_changed(self) -> None:
        if not self._started.is_set() or self._stopping.is_set():
            return
        reporting = self.membership.may_report
        if reporting and not self._reporting:
            try:
                self.reporter.load()
                self._status.joined()
                self._status.docker(self._docker_problem, self._docker_version)
                self._status.state_directory(self._state_problem)
                self._status.record(self.membership.went_back)
            except StoreError as error:
                log.warning("the store did not say what was reported before: %s", error)
            self.reporter.resume()
        elif not reporting:
            self.reporter.pause()
        self._reporting = reporting
        self.watcher.poke()  # what comes of it is a reset: reports are read again too
        for order in self.orders.all():
            self.deploys.enqueue(order.id, f"membership: {self.membership.state}")
        for key in self._ahead.wanted():
            self.pulls_ahead.enqueue(key, f"membership: {self.membership.state}")

    def _changed(self, view: View) -> None:
        try:
            self.orders.take(view)
        except OSError as error:
            self._state_is(f"the state directory cannot be written, so orders are not taken: {error}")
            raise
        self._state_is(None)
        self._ahead.take(view)
        self._status.record(self.membership.went_back)
        if view.reset:  # what went back may have taken the reports with it
            self.reporter.reread()
        if keys.node(self.node) in view.changed:
            for order in self.orders.all():
                self.deploys.enqueue(order.id, "the node's marks were changed")
            for key in self._ahead.wanted():
                self.pulls_ahead.enqueue(key, "the node's marks were changed")

    def _wake(self, id: str, reason: str) -> None:
        self.deploys.enqueue(id, reason)

    def _look_now(self, reason: str) -> None:
        self.comparisons.enqueue(anti_entropy.NODE, reason)

    def _comparing(self, key: str) -> float | None:
        self._look_at_docker()
        self._status.clock(self._clock())
        return self._anti_entropy.reconcile(key)

    def _deploying(self, id: str) -> float | None:
        try:
            after = self._deploy.reconcile(id)
        except RuntimeUnavailable as error:
            self._docker_is(str(error))
            raise
        if self._docker_problem is not None:
            self._look_at_docker()
        return after

    # --- what the parts are told of the world ---

    _docker_problem: str | None = None
    _docker_version: str = ""
    _state_problem: str | None = None

    def _look_at_docker(self) -> None:
        try:
            self._docker_version = self._runtime.info().version
        except RuntimeFailure as error:
            self._docker_is(str(error))
        else:
            self._docker_is(None)

    def _docker_is(self, problem: str | None) -> None:
        before, self._docker_problem = self._docker_problem, problem
        self._status.docker(problem, self._docker_version)
        if problem is not None and before is None:  # once: each call that fails has words of its own
            log.warning("Docker does not answer: %s", problem)
        if problem is None and before is not None:
            log.info("Docker answers")
            self._docker_is_back()

    def _docker_is_back(self) -> None:
        for part in self._controllers:
            part.again("Docker answers again")
        if isinstance(self.watcher.failure, RuntimeFailure):
            self.watcher.poke()

    def _state_is(self, problem: str | None) -> None:
        self._state_problem = problem
        self._status.state_directory(problem)

    def _labelled(self) -> tuple[Owned, ...]:
        scope = labels.of_node(self.membership.cluster_id or "", self.node)
        found = (labels.parse(summary.labels) for summary in self._runtime.containers(scope))
        return tuple(owned for owned in found if owned is not None)

    def _served(self) -> Collection[str]:
        found = (labels.parse(each.labels) for each in self._runtime.containers({labels.NODE: self.node}))
        return dict.fromkeys(owned.cluster for owned in found if owned is not None)

    def _reported(self) -> tuple[str, ...]:
        prefix = keys.instance_status(self.node, "")
        return tuple(
            key.removeprefix(prefix) for key in self.reporter.stored_keys() if key.startswith(prefix)
        )

    def _address(self) -> str:
        with self._clients.client() as store:
            return store.node_address()

    def _tell(self, reason: str, message: str, instance: str, warning: bool) -> None:
        self.reporter.event(reason, message, instance=instance, warning=warning)
