"""The planted bugs. Each is there because somebody might well write it; most are lines that were once written so.

What has a second line of defence is no bug alone (a listing without the sentinel that is believed: a record that is
missing is read once more before it counts as gone). Such a mutant takes both lines away.
"""

from __future__ import annotations

from tests.property.mutants.mutant import Edit, Mutant


def _mutant(name: str, mistake: str, *edits: tuple[str, str, str], interleaved: bool = False) -> Mutant:
    return Mutant(name, mistake, tuple(Edit(*edit) for edit in edits), interleaved)


FRAMEWORK = (
    _mutant(
        "key-lost-while-worked-on",
        "The work queue forgets a key that is added while it is worked on.",
        (
            "framework/queue.py",
            "            if slot is not None and not self._closed:\n                self._push(slot)",
            "            self._slots.pop(key, None)",
        ),
        (
            "framework/controller.py",
            "        if decision.after is not None:\n            self._queue.add(key, after=decision.after)\n"
            "        self._queue.done(key)\n",
            "        self._queue.done(key)\n"
            "        if decision.after is not None:\n            self._queue.add(key, after=decision.after)\n",
        ),
        interleaved=True,
    ),
    _mutant(
        "not-queued-again",
        "A handler that failed is not called again by itself.",
        (
            "framework/controller.py",
            "        if decision.after is not None:\n",
            '        if decision.result == "requeue_after" and decision.after is not None:\n',
        ),
    ),
    _mutant(
        "retry-without-pause",
        "What fails is tried again at once, again and again.",
        (
            "framework/retry.py",
            'return Decision("error", backoff.delay(failed.failures, random), failed)',
            'return Decision("error", 0.0, failed)',
        ),
    ),
    _mutant(
        "backward-index-kept",
        "An answer with an older index is taken for old news, and the watch waits for a newer one.",
        (
            "framework/watch.py",
            "        if watched and listing.index < max(state.index, 1):\n"
            '            return self.failed(state, now, random), None, "worthless"',
            "        if watched and listing.index <= state.index:\n"
            '            return replace(state, believed_at=now), None, "same"',
        ),
    ),
    _mutant(
        "deletions-overlooked",
        "The watch compares what is there, and not what is there no more.",
        ("framework/watch.py", "for key in {**old, **new} if", "for key in new if"),
    ),
    _mutant(
        "compared-by-version",
        "The watch compares versions in place of values: after a restore an equal version is another order.",
        (
            "framework/watch.py",
            "if old.get(key) != new.get(key)))",
            "if getattr(old.get(key), 'version', 0) != getattr(new.get(key), 'version', 0)))",
        ),
    ),
    _mutant(
        "failed-delivery-dropped",
        "A change that could not be taken, as the disk was full, is not delivered again.",
        (
            "framework/watcher.py",
            '                self._failed("error", why, error)\n                return\n',
            '                self._failed("error", why, error)\n',
        ),
    ),
    _mutant(
        "watch-without-spacing",
        "A blocking query that returns early is asked again without a pause.",
        (
            "framework/watch.py",
            "not_before=now + self._settings.spacing)",
            "not_before=now)",
        ),
    ),
    _mutant(
        "report-overwritten-by-its-answer",
        "A status that is reported while an older one is being written counts as written.",
        (
            "framework/statuses.py",
            "            self._stored[key] = value\n"
            "            if self._reported.get(key) == value:\n"
            "                self._in_store(key)",
            "            self._stored[key] = value\n            self._in_store(key)",
        ),
        interleaved=True,
    ),
    _mutant(
        "reporter-without-backoff",
        "Reports that cannot be written are tried again at once.",
        (
            "framework/reporter.py",
            "self._not_before = now + self._backoff.delay(self._failures, self._environment.random)",
            "self._not_before = now",
        ),
    ),
)

ORDERS = (
    _mutant(
        "older-order-obeyed",
        "The newest answer is trusted, though the order in it is older than the one that is obeyed.",
        ("controllers/order.py", 'return "hold" if overtaken or from_before else "obey"', 'return "obey"'),
    ),
    _mutant(
        "generation-decides",
        "An order is new if its generation is higher: after a restore another one has the same number.",
        (
            "controllers/order.py",
            '    if obeyed is not None and seen.change == obeyed.change:\n        return "same"',
            "    if obeyed is not None and (seen.uid, seen.generation) == (obeyed.uid, obeyed.generation):\n"
            '        return "same"',
        ),
    ),
    _mutant(
        "past-forgotten",
        "Only the last order is remembered: what was obeyed before it looks new after two restores.",
        (
            "controllers/order.py",
            "overtaken = seen.change in past or (obeyed is not None and seen.change in obeyed.lineage)",
            "overtaken = obeyed is not None and seen.change in obeyed.lineage",
        ),
    ),
    _mutant(
        "undeployed-comes-back",
        "An instance that was undeployed is launched again when the store is set back.",
        (
            "controllers/order.py",
            '    if seen.uid in finished and (seen.goal != "undeploy" if obeyed is None else obeyed.uid != seen.uid):',
            "    if False:",
        ),
    ),
    _mutant(
        "undeploy-not-noted",
        "The node deletes the record of what it undeployed and does not note that it is done.",
        (
            "controllers/deploy.py",
            "        self._orders.finishing(order)\n        status =",
            "        status =",
        ),
    ),
    _mutant(
        "gone-means-stop",
        "An instance whose record is missing is stopped.",
        (
            "controllers/plan.py",
            '    if order.mode != "obey":\n',
            '    if order.absent:\n        return stop(actual)\n    if order.mode != "obey":\n',
        ),
    ),
    _mutant(
        "unreadable-means-stop",
        "An instance whose record does not parse is stopped.",
        (
            "controllers/plan.py",
            '    if order.mode != "obey":\n',
            '    if order.unreadable:\n        return stop(actual)\n    if order.mode != "obey":\n',
        ),
    ),
    _mutant(
        "empty-listing-believed",
        "An empty answer of the store is believed, and a missing record is not read once more.",
        (
            "agent/sentinel.py",
            '            return f"{self._key} is not in it"',
            "            return None",
        ),
        (
            "controllers/orders.py",
            "                entry = self._read(id)  # a spurious 404 is no deletion\n",
            "                pass\n",
        ),
    ),
    _mutant(
        "order-not-written-down",
        "An order is obeyed without being in the state directory.",
        (
            "controllers/orders.py",
            '            self._state.write(f"orders/{seen.id}", obeyed.encode())\n            with self._lock:\n'
            "                self._orders[seen.id] = Order(obeyed)",
            "            with self._lock:\n                self._orders[seen.id] = Order(obeyed)",
        ),
    ),
    _mutant(
        "order-of-next-life-dropped",
        "When an undeploy is done its id is forgotten, though another instance has it by now.",
        (
            "controllers/orders.py",
            "if current is None or current.instance.change != order.instance.change:\n                    return False",
            "if current is None:\n                    return False",
        ),
        interleaved=True,
    ),
    _mutant(
        "order-looked-up-too-early",
        "Whether the store was listed is asked after the order was looked up: one that comes in between is overlooked.",
        (
            "controllers/deploy.py",
            "        listed = self._orders.listed  # first: an order that is taken meanwhile is not overlooked\n"
            "        order = self._orders.get(id)\n",
            "        order = self._orders.get(id)\n        listed = self._orders.listed\n",
        ),
        interleaved=True,
    ),
)

CONTAINERS = (
    _mutant(
        "launched-at-start",
        "An instance is called launched as soon as its containers are started.",
        ("controllers/serve.py", "            if uptime >= SETTLE:", "            if uptime >= 0.0:"),
    ),
    _mutant(
        "clock-read-too-late",
        "How long a container has run is counted up to now, not up to when Docker was asked.",
        (
            "controllers/look.py",
            "return max(0.0, known[1] + asked - known[2])",
            "return max(0.0, known[1] + self._environment.monotonic() - known[2])",
        ),
        interleaved=True,
    ),
    _mutant(
        "wall-clock-trusted",
        "How long a container has run is counted by the wall clock, which is set.",
        (
            "controllers/look.py",
            "return max(0.0, known[1] + asked - known[2])",
            "return max(0.0, (wall - (found.started_at or wall)).total_seconds())",
        ),
    ),
    _mutant(
        "never-looked-at-again",
        "Nobody looks again whether what was started has run for long enough.",
        (
            "controllers/deploy.py",
            "return min((after for after in again if after is not None), default=None)",
            "return None",
        ),
    ),
    _mutant(
        "restarted-without-pause",
        "A container that ends by itself is started again at once.",
        (
            "controllers/crashes.py",
            "return max(0.0, known.at - self._environment.monotonic()) if known else 0.0",
            "return 0.0",
        ),
    ),
    _mutant(
        "always-restarted",
        "Docker's restart policy is `always`, which revives what was stopped.",
        (
            "controllers/serve.py",
            'SERVING: RestartPolicy = "unless-stopped"',
            'SERVING: RestartPolicy = "always"',
        ),
    ),
    _mutant(
        "policy-left-on",
        "What is stopped keeps its restart policy, and a boot revives it.",
        (
            "controllers/hands.py",
            '            if policy != "no":\n                self._expect(id, "update")',
            '            if False:\n                self._expect(id, "update")',
        ),
        (
            "controllers/ending.py",
            '        elif found.restart_policy != "no" and found.state != "removing":',
            "        elif False:",
        ),
    ),
    _mutant(
        "adopted-by-name",
        "A container that has the name already is taken for ours without a look at its labels.",
        (
            "controllers/hands.py",
            "            # Ours is found by its labels at the next look; a stranger's stays in the way, and is named.\n"
            '            raise TemporaryError(f"a container called {name} is there already: {taken}", 1.0) from taken',
            "            there = [each.id for each in self._runtime.containers() if each.name == name]\n"
            "            if not there:\n"
            '                raise TemporaryError("it went meanwhile", 1.0) from taken\n'
            "            id = there[0]",
        ),
    ),
    _mutant(
        "any-cluster-is-ours",
        "Containers are found by the node's label, whatever cluster they are of.",
        (
            "controllers/labels.py",
            "    return {CLUSTER: cluster, NODE: node}\n",
            "    return {NODE: node}\n",
        ),
        (
            "controllers/labels.py",
            "    return found if found is not None and (found.cluster, found.node) == (cluster, node) else None",
            "    return found if found is not None and found.node == node else None",
        ),
    ),
    _mutant(
        "ports-chosen-without-lock",
        "Two instances choose their dynamic ports at once, and choose the same.",
        (
            "controllers/hands.py",
            "        with self._choosing:\n            chosen = choose_ports(",
            "        if True:\n            chosen = choose_ports(",
        ),
        interleaved=True,
    ),
    _mutant(
        "ports-not-noted",
        "Dynamic ports are chosen anew for each container and each look.",
        (
            "controllers/hands.py",
            "            self._orders.assign_ports(current, chosen)\n        return chosen",
            "        return chosen",
        ),
    ),
)

GARBAGE = (
    _mutant(
        "reaped-on-first-sight",
        "`--reap-unclaimed 1h` removes unclaimed containers as soon as they are seen.",
        (
            "controllers/garbage.py",
            "elif reap_after is not None and unclaimed_for.get(owned.uid, 0.0) >= reap_after:",
            "elif reap_after is not None:",
        ),
    ),
    _mutant(
        "image-of-rollback-collected",
        "Only the image of the current revision is kept, not those that may be rolled back to.",
        (
            "controllers/garbage_collection.py",
            "references.update({str(revision.app): revision.app for revision in instance.revisions})",
            "references.update({str(instance.app): instance.app})",
        ),
        (
            "controllers/garbage_collection.py",
            "references = {str(ref): ref for order in self._orders.all() for ref in order.references()}",
            "references = {str(order.instance.app): order.instance.app for order in self._orders.all()}",
        ),
    ),
    _mutant(
        "collected-by-tag",
        "An image is removed by its tag, which may be another image's by now.",
        (
            "controllers/image_puller.py",
            "            name = self._name_of(reference, ours)\n",
            "            name = reference if ours else None\n",
        ),
    ),
)

MEMBERSHIP = (
    _mutant(
        "works-on-in-standby",
        "An agent that sees another machine hold the lease goes on.",
        (
            "agent/membership.py",
            'return state, cluster, cluster is not None and state != "standby"',
            "return state, cluster, cluster is not None",
        ),
    ),
    _mutant(
        "lease-read-before-write",
        "The lease is read, and counts as taken whatever comes of the write: two machines that start at once both have it.",
        (
            "agent/lease.py",
            "if store.acquire(self._key, me.encode(), session):",
            "if store.acquire(self._key, me.encode(), session) or not entry or not entry.session:",
        ),
        interleaved=True,
    ),
    _mutant(
        "empty-store-made-a-cluster",
        "A node that has been in a cluster makes a new one of an empty store.",
        (
            "agent/own_cluster.py",
            "            unfounded = self._unfounded()\n",
            "            unfounded = None\n",
        ),
    ),
)

CLIENT = (
    _mutant(
        "goal-without-swap",
        "A goal is written over whatever is there.",
        (
            "client/goals.py",
            "Create(key, value) if target.entry is None else Swap(key, value, target.entry.version)",
            "Create(key, value) if target.entry is None else Set(key, value)",
        ),
        ("client/goals.py", "Create, Operation, Swap\n", "Create, Operation, Set\n"),
        interleaved=True,
    ),
    _mutant(
        "ports-looked-at-then-taken",
        "Whether a port is free is looked at first, and the claim then written over whatever is there.",
        (
            "client/deployment.py",
            "            Create(keys.port(batch.node, protocol, port), claim)\n",
            "            Set(keys.port(batch.node, protocol, port), claim)\n",
        ),
        (
            "client/deployment.py",
            "CheckAbsent, Conflict, Create, Operation\n",
            "CheckAbsent, Conflict, Create, Operation, Set\n",
        ),
        interleaved=True,
    ),
    _mutant(
        "removed-while-deployed",
        "An app is removed though somebody deployed it since it was looked at.",
        (
            "client/apps.py",
            "        CheckAbsent(keys.app_use(name, version)) if guard is None else Delete(guard.key, guard.version),\n",
            "        Discard(keys.app_use(name, version)),\n",
        ),
        interleaved=True,
    ),
    _mutant(
        "deployed-while-removed",
        "An app is deployed though somebody removed it since it was looked at.",
        ("client/deployment.py", "            Check(keys.app(name, version), app.version),\n", ""),
        interleaved=True,
    ),
    _mutant(
        "lost-answer-not-looked-up",
        "After a lost answer the write is repeated without a look whether it is there.",
        ("client/client.py", "                if unsure and applied():\n", "                if False:\n"),
    ),
)

_HARD = (
    "removed-while-deployed",
    "lost-answer-not-looked-up",
    "compared-by-version",
    "order-of-next-life-dropped",
    "order-looked-up-too-early",
    "ports-not-noted",
    "ports-chosen-without-lock",
    "works-on-in-standby",
    "lease-read-before-write",
)
_ALL = (*FRAMEWORK, *ORDERS, *CONTAINERS, *GARBAGE, *MEMBERSHIP, *CLIENT)
MUTANTS = tuple(each for each in _ALL if each.name not in _HARD)
NOT_FOUND_YET = tuple(each for each in _ALL if each.name in _HARD)
"""Bugs that the budget is too small for, as they are now: hunted only by their names (`--only`)."""
