"""Simulated images: a registry that a test tells what to answer, and the images of one machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from roj.runtime.interface import (
    Image,
    ImageDenied,
    ImageNotFound,
    InUse,
    RegistryUnavailable,
)

SIZE = 10_000_000
"""Bytes of an image that nobody gave a size."""


def with_tag(reference: str) -> str:
    """`nginx` is `nginx:latest`."""
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


def repository(reference: str) -> str:
    """What is before tag or digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class SimulatedRegistry:
    """All registries of the world. What it answers can be changed at any time."""

    everything: bool = True
    """Every reference that is not withdrawn or denied exists."""
    down: bool = False
    """No pull succeeds."""
    seconds: float = 0.0
    """How long a pull takes."""
    _contents: dict[str, tuple[str, int]] = field(default_factory=dict)
    _withdrawn: set[str] = field(default_factory=set)
    _denied: set[str] = field(default_factory=set)

    def publish(self, reference: str, content: str = "", size: int = SIZE) -> None:
        """The reference exists from now on; another content is another image."""
        self._contents[with_tag(reference)] = (content or with_tag(reference), size)
        self._withdrawn.discard(with_tag(reference))
        self._denied.discard(with_tag(reference))

    def withdraw(self, reference: str) -> None:
        """The reference does not exist."""
        self._withdrawn.add(with_tag(reference))

    def deny(self, reference: str) -> None:
        """The reference wants credentials that nobody has."""
        self._denied.add(with_tag(reference))

    def fetch(self, reference: str) -> tuple[str, str, int]:
        """Id, digest and size of an image. Raises: ImageNotFound, ImageDenied, RegistryUnavailable."""
        reference = with_tag(reference)
        if self.down:
            raise RegistryUnavailable(f"{reference}: connection refused")
        if reference in self._denied:
            raise ImageDenied(f"{reference}: unauthorized: authentication required")
        if "@" in reference:
            content, size = self._by_digest(reference)
        elif reference in self._withdrawn or not (self.everything or reference in self._contents):
            raise ImageNotFound(f"manifest for {reference} not found: manifest unknown")
        else:
            content, size = self._contents.get(reference, (reference, SIZE))
        return _digest(content), _digest("manifest " + content), size

    def _by_digest(self, reference: str) -> tuple[str, int]:
        wanted = reference.partition("@")[2]
        for name, (content, size) in self._contents.items():
            if repository(name) == repository(reference) and _digest("manifest " + content) == wanted:
                return content, size
        if self.everything:
            return reference, SIZE
        raise ImageNotFound(f"manifest for {reference} not found: manifest unknown")


@dataclass(slots=True)
class _Stored:
    id: str
    size: int
    created_at: datetime
    tags: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)

    def image(self) -> Image:
        return Image(
            self.id, tuple(sorted(self.tags)), tuple(sorted(self.digests)), self.size, self.created_at
        )


class ImageStore:
    """The images of one machine."""

    def __init__(self) -> None:
        self._stored: dict[str, _Stored] = {}

    def all(self) -> tuple[Image, ...]:
        """Ordered by id."""
        return tuple(self._stored[id].image() for id in sorted(self._stored))

    def find(self, reference: str) -> Image | None:
        """By id (or the beginning of one), tag or digest."""
        found = self._find(reference)
        return found.image() if found else None

    def add(self, reference: str, id: str, digest: str, size: int, now: datetime) -> Image:
        """An image was pulled by `reference`; a tag leaves the image that had it before."""
        reference = with_tag(reference)
        stored = self._stored.setdefault(id, _Stored(id, size, now))
        if "@" in reference:
            stored.digests.add(reference)
        else:
            for other in self._stored.values():
                other.tags.discard(reference)
            stored.tags.add(reference)
            stored.digests.add(f"{repository(reference)}@{digest}")
        return stored.image()

    def remove(self, reference: str, used: Iterable[str]) -> tuple[str, ...]:
        """Untag or delete, as Docker without force; what happened, in its events' words.

        `used` are the ids of images that containers were made from.

        Raises: InUse.
        """
        stored = self._find(reference)
        if stored is None:
            return ()
        tag = with_tag(reference)
        if tag in stored.tags and len(stored.tags) > 1:
            stored.tags.discard(tag)
            return ("untag",)
        if len(stored.tags) > 1:
            raise InUse(f"conflict: unable to delete {stored.id[7:19]} (must be forced): several references")
        if stored.id in used:
            raise InUse(f"conflict: unable to remove {reference} (must force): a container uses it")
        del self._stored[stored.id]
        return ("untag", "delete")

    def _find(self, reference: str) -> _Stored | None:
        tag = with_tag(reference)
        for stored in self._stored.values():
            if reference == stored.id or tag in stored.tags or reference in stored.digests:
                return stored
        short = reference.removeprefix("sha256:")
        begins = [
            each for each in self._stored.values() if len(short) >= 12 and each.id[7:].startswith(short)
        ]
        return begins[0] if len(begins) == 1 else None
