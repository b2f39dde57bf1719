"""A kind: what somebody declares under a prefix of the store, one record a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from roj.api.record import Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """Records of one type, each at `prefix` + its name.

        Kind("dns", "example/dns/", DnsRecord)

    Write one with `store.create(kind.key("www"), DnsRecord(...).encode())`.
    """

    name: str
    """In logs and metrics."""
    prefix: str
    """Ends in `/`. Outside of `roj/v1/`, which is roj's own."""
    type: type[R]
    """A `roj.api.record.Record`; its `encode` and `decode` are the codec."""

    def __post_init__(self) -> None:
        if not self.prefix.endswith("/") or self.prefix.startswith("/"):
            raise ValueError(f"kind {self.name}: prefix {self.prefix!r} must end, and not begin, with '/'")

    def key(self, name: str) -> str:
        """The store's key of the record of this name."""
        return self.prefix + name

    def name_of(self, key: str) -> str:
        """The name of the record at this key."""
        return key.removeprefix(self.prefix)
