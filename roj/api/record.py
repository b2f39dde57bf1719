"""Records as they are stored: canonical JSON, a format number, a digest.

`Part` is a piece of a record, `Record` a whole value of the store. Both are immutable and refuse unknown fields.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from roj.api.faults import Fault, InvalidInput, UnreadableRecord
from roj.api.wording import faults_of

FORMAT = 1
"""The format that this roj writes. A record of a newer one is kept as it is, never guessed at."""

MAX_VALUE = 350_000
"""Bytes that one value may have: Consul refuses 512 KB, and transactions carry base64 (DESIGN.md section 4)."""

_NO_KEY = "a key is no text in UTF-8"


def rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC, to the millisecond: `2026-11-22T08:00:00.123Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A moment; stored as RFC 3339 in UTC, to the millisecond."""


class Part(BaseModel):
    """A piece of a record: immutable, strict, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, str_strip_whitespace=False)

    @classmethod
    def checked(cls, value: object) -> Self:
        """`value` as this type.

        Raises:
            InvalidInput: with every fault.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidInput(faults_of(error)) from None
        except UnicodeEncodeError:  # pydantic's own: it cannot tell the place of such a key
            raise InvalidInput([Fault("", _NO_KEY)]) from None


class Record(Part):
    """A whole value of the store."""

    what: ClassVar[str] = "record"
    """The kind's name in messages."""

    def encode(self) -> bytes:
        """The stored form: canonical JSON (sorted keys, no blanks) with `format`.

        Fields that have their default are left out, so that a newer roj with more fields gives an older app the same
        digest; hence a default never changes.
        """
        fields = self.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        text = json.dumps(
            {"format": FORMAT, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        # What may be no UTF-8 is what people say (`-m`) and are called: a mark in its place will do.
        return text.encode(errors="replace")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """The record that `encode` made.

        Raises:
            UnreadableRecord: it does not parse, or is of a newer format.
        """
        try:
            fields = json.loads(value)
        except ValueError as error:
            raise UnreadableRecord(f"{cls.what} is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise UnreadableRecord(f"{cls.what} is not an object")
        written = fields.pop("format", None)
        if not isinstance(written, int):
            raise UnreadableRecord(f"{cls.what} has no format number")
        if written > FORMAT:
            raise UnreadableRecord(f"{cls.what} is of format {written}; this roj knows {FORMAT}: upgrade roj")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise UnreadableRecord(
                f"{cls.what}: " + "; ".join(str(fault) for fault in faults_of(error))
            ) from None
        except UnicodeEncodeError:
            raise UnreadableRecord(f"{cls.what}: {_NO_KEY}") from None


def digest_of(value: bytes) -> str:
    """SHA-256 of a stored record, in hexadecimal: the identity of an app."""
    return hashlib.sha256(value).hexdigest()
