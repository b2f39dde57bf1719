"""Attempts: how long an upgrade has been tried, and how the pulls for it go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from roj.api.app import App
from roj.api.instance import Revision
from roj.controllers.actions import Actual, Pull
from roj.controllers.look import Looker
from roj.controllers.order import Order
from roj.environment import Environment


class Images(Protocol):
    """What deploy needs of the image puller."""

    def ask(self, reference: str, since: float = -inf) -> Pull:
        """Have an image pulled; what is known of it, failures before `since` aside."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    revision: Revision
    asked: float
    """When it began, on the monotonic clock."""
    complete: float | None = None
    """When all images were there."""


class Attempts:
    """Of this process: after a restart of the agent an upgrade has its whole time again."""

    def __init__(self, environment: Environment, looker: Looker, images: Images) -> None:
        self._environment = environment
        self._looker = looker
        self._images = images
        self._attempts: dict[str, _Attempt] = {}

    def with_images(self, order: Order, actual: Actual) -> Actual:
        """`actual` with what the puller says of missing images, and how long the revision has been tried."""
        asked = self._asked(order)
        pulls = {image: self._pull(order.app, image, asked) for image in actual.missing_images}
        serving = actual.serving
        if serving is not None:
            again = {image: self._pull(order.serving_app, image, -inf) for image in serving.missing_images}
            serving = replace(serving, missing_images=again)
        return replace(actual, missing_images=pulls, serving=serving, tried=self._tried(order, actual))

    def _pull(self, app: App | None, image: str, asked: float) -> Pull:
        if app is not None and any(c.image == image and c.pull == "never" for c in app.containers):
            return Pull(
                f"{image} is not on the node, and is not to be pulled (pull: never)", refusal="ImageNotFound"
            )
        return self._images.ask(image, asked)

    def forget(self, id: str) -> None:
        """The instance is gone, or its node is frozen: what comes after has its whole time."""
        self._attempts.pop(id, None)

    def _asked(self, order: Order) -> float:
        if not order.replaces or order.failed is not None or order.obeyed.waiting or order.goal != "start":
            self.forget(order.id)
            return -inf
        attempt = self._attempts.get(order.id)
        if attempt is None or attempt.revision != order.instance.revision:
            self._looker.begins(order)
            attempt = _Attempt(order.instance.revision, self._environment.monotonic())
            self._attempts[order.id] = attempt
        return attempt.asked

    def _tried(self, order: Order, actual: Actual) -> float:
        attempt = self._attempts.get(order.id)
        if attempt is None or order.app is None:
            return 0.0
        now = self._environment.monotonic()
        if attempt.complete is None and not actual.missing_images:
            attempt = replace(attempt, complete=now)
            self._attempts[order.id] = attempt
        return now - attempt.complete if attempt.complete is not None else 0.0
