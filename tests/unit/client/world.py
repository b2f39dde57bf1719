"""A cluster in an embedded store in memory, a clock that nobody waits for, stores that lose answers, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from roj.api import keys
from roj.api.app import App, AppReference, AppSpec
from roj.api.instance import AppUse, History, Instance, InstanceStatus, PortClaim
from roj.api.node import Cluster, MachineIdentity, Mark, Node
from roj.client.client import Client
from roj.environment import Condition, Event, Lock, RealEnvironment, Thread
from roj.store.embedded import EmbeddedStore
from roj.store.interface import Conflict, Entry, Listing, Operation, Store, StoreUnavailable

WHEN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


class Clock:
    """An environment whose time passes only where somebody sleeps; ids and choices by a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.passed = 0.0
        self._real = RealEnvironment()

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return WHEN + timedelta(seconds=self.passed)

    def new_id(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def lock(self) -> Lock:
        return self._real.lock()

    def condition(self) -> Condition:
        return self._real.condition()

    def event(self) -> Event:
        return self._real.event()

    def spawn(self, name: str, target: Callable[[], None]) -> Thread:
        return self._real.spawn(name, target)

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


class Wrapper:
    """A store that another one answers for; what is overridden here is what a test is about."""

    def __init__(self, inner: Store) -> None:
        self.address = inner.address
        self._inner = inner

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        return self._inner.get(key, consistent=consistent)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        return self._inner.list(prefix, consistent=consistent)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        return self._inner.watch(prefix, index, wait)

    def transact(self, operations: Sequence[Operation]) -> None:
        self._inner.transact(operations)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


Fate = Literal["well", "refused", "lost", "late"]
"""Of a write: answered; not applied; applied with its answer lost; applied after the writer was told of a failure, at the
next call."""


class Unreliable(Wrapper):
    """A store that loses what it is told to lose, then works."""

    def __init__(self, inner: Store, fates: Sequence[Fate], reads: Sequence[bool] = ()) -> None:
        """`fates` of the writes that come; `reads`: whether those that come after the first failure are answered."""
        super().__init__(inner)
        self._fates = list(fates)
        self._reads = list(reads)
        self._late: Sequence[Operation] | None = None
        self._failed = False
        self.writes = 0

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        self._before_read()
        return super().get(key, consistent=consistent)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        self._before_read()
        return super().list(prefix, consistent=consistent)

    def transact(self, operations: Sequence[Operation]) -> None:
        self._arrive()
        self.writes += 1
        fate = self._fates.pop(0) if self._fates else "well"
        if fate == "late":
            self._late = list(operations)
        if fate in ("well", "lost"):
            super().transact(operations)
        if fate != "well":
            self._failed = True
            raise StoreUnavailable("memory: the answer was lost")

    def _before_read(self) -> None:
        if self._failed and self._reads and not self._reads.pop(0):
            raise StoreUnavailable("memory: no answer")
        self._arrive()

    def _arrive(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            try:
                super().transact(late)
            except Conflict:
                return


class Meddled(Wrapper):
    """A store on which something else happens before the calls that are said."""

    def __init__(self, inner: Store, meddle: Callable[[], object], calls: set[int]) -> None:
        super().__init__(inner)
        self._meddle = meddle
        self._calls = calls
        self.asked: list[str] = []

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        self._before(f"get {key}")
        return super().get(key, consistent=consistent)

    def list(self, prefix: str, *, consistent: bool = False) -> Listing:
        self._before(f"list {prefix}")
        return super().list(prefix, consistent=consistent)

    def watch(self, prefix: str, index: int, wait: float) -> Listing:
        self._before(f"watch {prefix}")
        return super().watch(prefix, index, 0)

    def transact(self, operations: Sequence[Operation]) -> None:
        self._before("transact")
        super().transact(operations)

    def _before(self, call: str) -> None:
        number = len(self.asked)
        self.asked.append(call)
        if number in self._calls:
            self._meddle()


class World:
    """One cluster as operators see it, and as its agents would have made it."""

    def __init__(self, *nodes: str, seed: int = 0) -> None:
        self.clock = Clock(seed)
        self.store = EmbeddedStore(self.clock, None)
        self.client = self.person("anna@desk")
        self.session = self.store.open_session("agent", ttl=60, checked=False)
        self.store.create(keys.CLUSTER, Cluster(id="c" * 32, created=WHEN).encode())
        for node in nodes:
            self.node(node)

    def close(self) -> None:
        self.store.close()

    def person(self, who: str, store: Store | None = None) -> Client:
        return Client(store or self.store, self.clock, who)

    # --- what agents write ---

    def node(
        self, name: str, *, ready: bool = True, cordoned: str | None = None, forgotten: bool = False
    ) -> None:
        mark = Mark(who="otto@desk", when=WHEN, why=cordoned or "")
        node = Node(
            name=name,
            cluster="c" * 32,
            cordoned=mark if cordoned is not None else None,
            forgotten=mark if forgotten else None,
        )
        self.store.create(keys.node(name), node.encode())
        if ready:
            identity = MachineIdentity(state_id="s", since=WHEN)
            assert self.store.acquire(keys.lease(name), identity.encode(), self.session)

    def report(
        self, node: str, id: str, phase: str, *, believed: Instance | None = None, app: App | None = None, **more: Any
    ) -> None:  # fmt: skip
        """What the node's agent says of an instance."""
        wanted = self.find(node, id)
        fields: dict[str, Any] = {"since": WHEN, "believed": believed, "believed_app": app}
        if wanted is not None:
            fields |= {
                "uid": wanted.uid,
                "goal": wanted.goal,
                "observed_generation": wanted.generation,
                "app": wanted.app,
            }
        status = InstanceStatus.checked({"id": id, "node": node, "phase": phase, **fields, **more})
        self.put(keys.instance_status(node, id), status.encode())

    def finish(self, node: str, id: str) -> None:
        """What an agent does when it has undeployed: the record, its claims and its status go."""
        self.drop(keys.instance(node, id))
        self.drop(keys.instance_status(node, id))
        self.drop(keys.history(node, id))
        for entry in self.store.list(keys.ports(node)).entries:
            if PortClaim.decode(entry.value).instance == id:
                self.drop(entry.key)

    # --- the store as it is ---

    def put(self, key: str, value: bytes) -> None:
        entry = self.store.get(key)
        if entry is None:
            self.store.create(key, value)
        else:
            self.store.swap(key, value, entry.version)

    def drop(self, key: str) -> None:
        entry = self.store.get(key)
        if entry is not None:
            self.store.delete(key, entry.version)

    def wipe(self, *prefixes: str) -> None:
        """Lose all of it, or what is under the prefixes."""
        for prefix in prefixes or (keys.ROOT,):
            for entry in self.store.list(prefix).entries:
                self.drop(entry.key)

    def find(self, node: str, id: str) -> Instance | None:
        entry = self.store.get(keys.instance(node, id))
        return Instance.decode(entry.value) if entry is not None else None

    def get(self, node: str, id: str) -> Instance:
        instance = self.find(node, id)
        assert instance is not None, f"there is no {node}/{id}"
        return instance

    def instances(self) -> list[Instance]:
        return [
            Instance.decode(entry.value)
            for entry in self.store.list(keys.DESIRED).entries
            if "/instances/" in entry.key
        ]

    def history(self, node: str, id: str) -> History | None:
        entry = self.store.get(keys.history(node, id))
        return History.decode(entry.value) if entry is not None else None

    def apps(self) -> dict[AppReference, App]:
        found = {}
        for entry in self.store.list(keys.APPS).entries:
            app = App.decode(entry.value)
            found[AppReference(name=app.name, version=app.version, digest=app.digest())] = app
        return found

    def claims(self) -> dict[str, PortClaim]:
        return {
            entry.key: PortClaim.decode(entry.value)
            for entry in self.store.list(keys.DESIRED).entries
            if "/ports/" in entry.key
        }

    def guard(self, name: str, version: str = "v1") -> str | None:
        entry = self.store.get(keys.app_use(name, version))
        return AppUse.decode(entry.value).change if entry is not None else None

    def keys(self) -> list[str]:
        return [entry.key for entry in self.store.list(keys.ROOT).entries]


def spec(*ports: int | None, image: str = "nginx:1.7.1", name: str = "web") -> AppSpec:
    """One container that publishes port 80, 81, ... at these ports of the node (None: the node chooses)."""
    published = [
        {"container": 80 + number} | ({"host": port} if port is not None else {})
        for number, port in enumerate(ports)
    ]
    return AppSpec.checked({"containers": [{"name": name, "image": image, "ports": published}]})


def violations(world: World) -> Iterator[str]:
    """What must hold of a store after any operations of any operators, however interleaved, and does not."""
    instances = world.instances()
    ids = [instance.id for instance in instances]
    yield from (f"the id {id} is there twice" for id in sorted(set(ids)) if ids.count(id) > 1)
    apps = world.apps()
    wanted: dict[str, str] = {}
    for instance in instances:
        history = world.history(instance.node, instance.id)
        told = [entry.change for entry in history.entries] if history is not None else []
        if told[:1] != [instance.change] or len(dict.fromkeys(told)) < len(told):
            yield f"the history of {instance.id} has the changes {told}, and its record {instance.lineage}"
        if instance.app not in apps:
            yield f"{instance.id} refers to an app that is not there"
            continue
        if world.guard(instance.app.name, instance.app.version) is None:
            yield f"the app of {instance.id} has no guard"
        kept = [apps[revision.app] for revision in instance.revisions if revision.app in apps]
        for protocol, port in dict.fromkeys(each for app in kept for each in app.host_ports()):
            key = keys.port(instance.node, protocol, port)
            if key in wanted:
                yield f"two instances want {key}"
            wanted[key] = instance.uid
    claims = {key: claim.uid for key, claim in world.claims().items()}
    if claims != wanted:
        yield f"claims {claims}, and wanted are {wanted}"
    places = [(instance.node, instance.id) for instance in instances]
    for entry in world.store.list(keys.ROOT + "history/").entries:
        node, _, id = entry.key.removeprefix(keys.ROOT + "history/").partition("/")
        if (node, id) not in places:
            yield f"a history is left of {node}/{id}"
    references = [(app.name, app.version) for app in apps]
    for entry in world.store.list(keys.APP_USE).entries:
        name, _, version = entry.key.removeprefix(keys.APP_USE).partition("/")
        if (name, version) not in references:
            yield f"a guard is left of {name}:{version}"
