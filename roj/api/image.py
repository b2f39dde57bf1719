"""References of images, as Docker takes them: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`."""

from __future__ import annotations

import re

from roj.api.faults import quoted

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
# Without a dot or a port it would be the first part of a name, but for `localhost`.
_HOST = rf"(?:(?:{_LABEL}(?:\.{_LABEL})+|localhost|\[[0-9A-Fa-f:.]+\])(?:{_PORT})?|{_LABEL}{_PORT})"
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_NAME}(?:/{_NAME})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
_LONGEST = 600
"""Letters: a name has 255 at most, a tag 128, a digest of SHA-512 136."""


def check_image(text: str) -> str:
    """A reference of an image. Raises ValueError, with what one looks like."""
    if len(text) > _LONGEST or not _REFERENCE.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no image reference: write [HOST[:PORT]/]NAME[:TAG][@DIGEST], NAME in lower case, as in "
            "nginx:1.27"
        )
    return text
