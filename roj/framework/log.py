"""Log lines that say what they belong to: the reconcile id, the controller and the key, through contextvars.

    with about(controller="deploy", key="web-abcde", reconcile="1f3a9c0e"):
        log.info("created")       # 2026-11-22T08:00:00.123Z INFO deploy web-abcde 1f3a9c0e: created

As text for people or as JSON lines for machines, always on stderr.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Literal, TextIO

from roj.api.record import rfc3339

_about: ContextVar[Mapping[str, str] | None] = ContextVar("roj_log_about", default=None)

Form = Literal["text", "json"]


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Every line that is logged inside carries these fields, and those of the `about` around it."""
    token = _about.set({**current(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def current() -> Mapping[str, str]:
    """The fields that a line logged now would carry."""
    return _about.get() or {}


class _Formatter(logging.Formatter):
    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now

    def trouble(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class TextFormatter(_Formatter):
    """Time, level, what it is about, message."""

    def format(self, record: logging.LogRecord) -> str:
        subject = " ".join(current().values()) or record.name.removeprefix("roj.")
        line = f"{rfc3339(self._now())} {record.levelname} {subject}: {record.getMessage()}"
        trouble = self.trouble(record)
        return f"{line}\n{trouble}" if trouble else line


class JsonFormatter(_Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `error` and the fields of `about`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": rfc3339(self._now()),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **current(),
        }
        trouble = self.trouble(record)
        if trouble:
            fields["error"] = trouble
        return json.dumps(fields, ensure_ascii=False)


def set_up(
    now: Callable[[], datetime],
    *,
    form: Form = "text",
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send what roj and its extensions log to `stream` (stderr if None), and nothing anywhere else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(now) if form == "json" else TextFormatter(now))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of the libraries
    logging.getLogger("roj").setLevel(level)
