"""Image puller: owns the images of the node. It pulls what instances need, and removes what the collector names.

Its keys are image references, so that the work queue's promise (a key is never worked on twice at once) makes pulls
single-flight; its workers bound how many run at once. What it pulled is noted in the state directory: only that is ever
removed (DESIGN.md section 5, "Removal").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import ClassVar

from pydantic import Field

from roj.api.app import App
from roj.api.faults import UnreadableRecord
from roj.api.record import Part, Record, Time
from roj.controllers.actions import Pull
from roj.controllers.order import Order
from roj.controllers.orders import Orders
from roj.controllers.state import StateDirectory
from roj.controllers.this_node import ThisNode
from roj.environment import Environment
from roj.framework.backoff import Backoff
from roj.framework.errors import TemporaryError
from roj.runtime.interface import Image, ImageDenied, ImageNotFound, NotFound, RegistryUnavailable, Runtime

log = logging.getLogger(__name__)

WORKERS = 3
"""Pulls at once."""
_BACKOFF = Backoff(first=2.0, longest=60.0)
LASTS = 300.0
"""Seconds after which an image that is gone was not taken away at once: it is pulled without a pause."""


class PulledImage(Part):
    """An image that this node pulled and that was not on the machine before."""

    id: str
    when: Time


class PulledImages(Record):
    """What the state directory holds of images: `images`."""

    what: ClassVar[str] = "pulled images"

    images: dict[str, PulledImage] = Field(default_factory=dict)
    """By the reference that was pulled."""


@dataclass(frozen=True, slots=True)
class _Known:
    message: str
    moved: float
    """When there was progress last, on the monotonic clock."""
    failures: int = 0
    failed: float = -inf
    """When a try failed last, on the monotonic clock."""
    next_try: datetime | None = None
    refusal: str = ""
    """`ImageNotFound` or `ImageDenied`: the registry's last word."""


@dataclass(frozen=True, slots=True)
class _LastPull:
    when: float
    """The moment, of the monotonic clock."""
    again: float
    """The moment before which it is not pulled again."""
    times: int
    """Pulls so far, each within LASTS of the one before."""


class ImagePuller:
    """The image puller's handler. Safe to use from several threads."""

    name = "image-puller"

    def __init__(
        self,
        environment: Environment,
        node: ThisNode,
        orders: Orders,
        runtime: Runtime,
        state: StateDirectory,
        *,
        enqueue: Callable[[str, str], None],
        wake: Callable[[str, str], None],
        tell: Callable[[str, str, str, bool], None],
        ahead: Callable[[str], Sequence[str]] = lambda _: (),
        wake_ahead: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        """
        Args:
            enqueue: puts a reference in this controller's queue, with the reason.
            wake: tells the deploy controller that an instance may go on, with the reason.
            tell: an event: reason, message, instance, whether it is a warning.
            ahead: the pulls ahead of any instance (`roj pull`) that want an image.
            wake_ahead: tells one of them that it may go on, with the reason.
        """
        self._environment = environment
        self._node = node
        self._orders = orders
        self._runtime = runtime
        self._state = state
        self._ahead = ahead
        self._wake_ahead = wake_ahead
        self._enqueue = enqueue
        self._wake = wake
        self._tell = tell
        self._lock = environment.lock()
        self._known: dict[str, _Known] = {}
        self._busy: dict[str, None] = {}
        self._last: dict[str, _LastPull] = {}
        self._noting = environment.lock()
        self._pulled = self._read()

    def ask(self, reference: str, since: float = -inf) -> Pull:
        """Have an image pulled, unless that is under way or waits for its next try; what is known of it.

        Args:
            since: when the one who asks began to, on the monotonic clock: a failure before does not count for it, and
                it does not wait for the next try.
        """
        now = self._environment.monotonic()
        with self._lock:
            known = self._known.get(reference)
            fresh = known is None or (known.next_try is not None and known.failed < since)
            if known is None or fresh:
                known = _Known(f"pulling {reference}", now, known.failures if known is not None else 0)
                self._known[reference] = known
        if fresh:
            self._enqueue(reference, "an instance needs it")
        return Pull(known.message, known.next_try, known.refusal, now - max(known.moved, since))

    def reconcile(self, reference: str) -> float | None:
        """Pull one image, if an instance still needs it."""
        needing = self._needing(reference)
        if not (needing or self._ahead(reference)) or not self._node.may_change():
            self._forget(reference)
            return None
        if not self._claim(reference):
            return 1.0
        try:
            before = {image.id: None for image in self._runtime.images()}
            image = self._runtime.image(reference)
            if image is None:
                self._wait_if_taken_away(reference, needing)
                image = self._runtime.pull(reference, lambda words: self._progress(reference, words))
                self._note(reference, image, ours=image.id not in before)
                self._remember(reference)
                for id in needing:
                    self._tell("Pulled", reference, id, False)
        except (ImageNotFound, ImageDenied, RegistryUnavailable) as problem:
            raise self._failed(reference, problem, needing) from problem
        finally:
            self._release(reference)
        self._forget(reference)
        self._wake_all(reference, self._needing(reference), f"{reference} is there")
        return None

    # --- for the collector ---

    def pulled(self) -> dict[str, PulledImage]:
        """The images that are ours, by reference."""
        with self._lock:
            return dict(self._pulled.images)

    def remove(self, reference: str, still_unused: Callable[[], bool]) -> bool:
        """Remove an image that this node pulled, without force, unless it is being pulled or `still_unused` denies.

        Raises:
            InUse: a container has it.
            RuntimeFailure: Docker failed.
        """
        if not self._claim(reference):
            return False
        try:
            ours = self.pulled().get(reference)
            if ours is None or not still_unused():
                return False
            name = self._name_of(reference, ours)
            if name is not None:
                self._runtime.remove_image(name)
            self._note(reference, None, ours=False)
            return name is not None
        except NotFound:
            self._note(reference, None, ours=False)
            return False
        finally:
            self._release(reference)

    # --- inside ---

    def _name_of(self, reference: str, ours: PulledImage) -> str | None:
        """What to remove our image by: its tag may be another image's by now, which somebody else has pulled. None:
        it is gone, or somebody else has given it a name of their own."""
        tagged = self._runtime.image(reference)
        if tagged is not None and tagged.id == ours.id:
            return reference
        left = self._runtime.image(ours.id)
        return ours.id if left is not None and not left.tags else None

    def _needing(self, reference: str) -> list[str]:
        return [
            order.id
            for order in self._orders.all()
            if any(
                c.image == reference and c.pull != "never" for app in _wanted(order) for c in app.containers
            )
        ]

    def _failed(self, reference: str, problem: Exception, needing: list[str]) -> TemporaryError:
        with self._lock:
            known, now = self._known.get(reference), self._environment.monotonic()
            failures = known.failures + 1 if known is not None else 1
            delay = max(1.0, _BACKOFF.delay(failures, self._environment.random))
            next_try = self._environment.now() + timedelta(seconds=delay)
            message = f"{reference}: {problem}"
            refusal = type(problem).__name__ if isinstance(problem, ImageNotFound | ImageDenied) else ""
            moved = known.moved if known is not None else now
            self._known[reference] = _Known(message, moved, failures, now, next_try, refusal)
        for id in needing:
            self._tell("PullFailed", message, id, True)
        self._wake_all(reference, needing, "its image could not be pulled")
        return TemporaryError(message, delay)

    def _wait_if_taken_away(self, reference: str, needing: list[str]) -> None:
        """What was pulled a moment ago and is gone again is pulled with backoff: somebody cleans up, perhaps.

        Raises: TemporaryError.
        """
        with self._lock:
            last, now = self._last.get(reference), self._environment.monotonic()
            if last is None or last.again <= now:
                return
            wait = last.again - now
            next_try = self._environment.now() + timedelta(seconds=wait)
            message = f"{reference}: it was pulled and is gone again; somebody removes it"
            self._known[reference] = _Known(message, last.when, failed=now, next_try=next_try)
        self._wake_all(reference, needing, "its image is gone again")
        raise TemporaryError(message, wait)

    def _remember(self, reference: str) -> None:
        with self._lock:
            now = self._environment.monotonic()
            self._last = {name: last for name, last in self._last.items() if now - last.when < LASTS}
            times = self._last[reference].times + 1 if reference in self._last else 1
            delay = max(1.0, _BACKOFF.delay(times - 1, self._environment.random)) if times > 1 else 0.0
            self._last[reference] = _LastPull(now, now + delay, times)

    def _progress(self, reference: str, words: str) -> None:
        with self._lock:
            known = self._known.get(reference)
            now = self._environment.monotonic()
            self._known[reference] = _Known(f"{reference}: {words}", now, known.failures if known else 0)
        self._wake_all(reference, self._needing(reference), words)

    def _wake_all(self, reference: str, needing: Sequence[str], reason: str) -> None:
        for id in needing:
            self._wake(id, reason)
        for pull in self._ahead(reference):
            self._wake_ahead(pull, reason)

    def _forget(self, reference: str) -> None:
        with self._lock:
            self._known.pop(reference, None)

    def _claim(self, reference: str) -> bool:
        """One pull or removal of a reference at a time."""
        with self._lock:
            if reference in self._busy:
                return False
            self._busy[reference] = None
            return True

    def _release(self, reference: str) -> None:
        with self._lock:
            self._busy.pop(reference, None)

    def _note(self, reference: str, image: Image | None, *, ours: bool) -> None:
        with self._noting:
            images = dict(self.pulled())
            if image is not None and ours:
                images[reference] = PulledImage(id=image.id, when=self._environment.now())
            elif image is None or (reference in images and images[reference].id != image.id):
                images.pop(reference, None)
            pulled = PulledImages(images=images)
            if pulled != self._pulled:
                self._state.write("images", pulled.encode())
                with self._lock:
                    self._pulled = pulled

    def _read(self) -> PulledImages:
        file = self._state.read("images")
        try:
            # A previous copy may name an image that was removed and pulled by somebody else since: not ours, then.
            return (
                PulledImages.decode(file.value) if file is not None and not file.previous else PulledImages()
            )
        except UnreadableRecord:
            return PulledImages()


def _wanted(order: Order) -> tuple[App, ...]:
    """The apps that an order may have to bring up: not one that has failed, nor one that is kept and never served."""
    if order.instance.goal != "start" and order.goal != "start":
        return ()
    if order.mode != "obey" and order.obeyed.serving is None:
        return ()
    if order.failed is not None:
        return (order.serving_app,) if order.serving_app is not None else ()
    return order.apps
