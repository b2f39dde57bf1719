"""Names: what may be called how, and ids of instances."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

from roj.api.faults import quoted
from roj.environment import Random

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
INSTANCE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?")
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@lru_cache(4096)  # few names, and each in thousands of records
def check_name(text: str) -> str:
    """A name of an app, node or container: 1 to 63 of a-z, 0-9, `.`, `_`, `-`, letters or digits at both ends."""
    if not NAME.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no name: 1 to 63 of a-z, 0-9, '.', '_' and '-', with a letter or digit at both ends"
        )
    return text


def check_version(text: str) -> str:
    """A version of an app, as Docker's tags: 1 to 128 of A-Z, a-z, 0-9, `_`, `.`, `-`; `.` and `-` not first."""
    if not VERSION.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no version: 1 to 128 of A-Z, a-z, 0-9, '_', '.' and '-', not beginning with '.' or '-'"
        )
    return text


def check_instance_id(text: str) -> str:
    """An id of an instance: 1 to 63 of a-z, 0-9 and `-`, not beginning with `-`."""
    if not INSTANCE_ID.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no instance id: 1 to 63 of a-z, 0-9 and '-', not beginning with '-'"
        )
    return text


def check_text(text: str) -> str:
    """A text that can be stored, and handed to a program: UTF-8 without a zero byte."""
    if "\0" in text:
        raise ValueError("must not contain a zero byte")
    if not is_text(text):
        raise ValueError(f"{quoted(text)} is no text in UTF-8")
    return text


def is_text(text: str) -> bool:
    """Whether it can be written in UTF-8: what came from bytes that were none, or from half an escape, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Name = Annotated[str, AfterValidator(check_name)]
Version = Annotated[str, AfterValidator(check_version)]
InstanceId = Annotated[str, AfterValidator(check_instance_id)]


def parse_app_reference(text: str) -> tuple[str, str]:
    """`NAME:VERSION` in its two parts.

    Raises:
        ValueError: it is not of that form.
    """
    name, colon, version = text.partition(":")
    if not colon:
        raise ValueError(f"{quoted(text)} names no version: write NAME:VERSION, as in web:v1")
    return check_name(name), check_version(version)


def new_instance_id(app_name: str, source: Random) -> str:
    """A new id: the app's name (as far as it fits, without what an id may not have) and 5 of a-z2-7."""
    stem = re.sub(r"[^a-z0-9-]", "-", app_name)[:57]
    return f"{stem}-" + "".join(source.choice(ID_LETTERS) for _ in range(5))
