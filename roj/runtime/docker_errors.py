"""What an error of Docker's API means: from its status and words to the types of the interface.

The words are Docker Engine's own: of 20.10.24 as it answered, of others as they are known. Where Docker has a status
for something, the words decide only what the status leaves open.
"""

from __future__ import annotations

import re

from roj.runtime.interface import (
    ImageDenied,
    ImageNotFound,
    InUse,
    NameTaken,
    NotFound,
    PortTaken,
    RegistryUnavailable,
    RuntimeFailure,
    RuntimeUnavailable,
    StartRefused,
)

PORT_TAKEN = re.compile(
    r"port is already allocated|address already in use|ports are not available|failed to bind (host )?port"
)
UNAVAILABLE = re.compile(
    r"cannot connect to the docker daemon|containerd\.sock|code = unavailable|context deadline exceeded"
    r"|context canceled|transport is closing|error reading from server|grpc.*connection"
)
GATEWAY = (502, 503, 504)
"""A proxy before the daemon speaks so, not Docker."""


def _unavailable(status: int, words: str) -> bool:
    return status in GATEWAY or (status >= 500 and UNAVAILABLE.search(words) is not None)


def of_call(status: int, message: str) -> RuntimeFailure:
    """The failure of any call that has no case of its own."""
    words = message.lower()
    if _unavailable(status, words):
        return RuntimeUnavailable(message)
    if status == 404:
        return NotFound(message)
    if status == 409:
        return InUse(message)
    return RuntimeFailure(message)


def of_create(status: int, message: str) -> RuntimeFailure:
    """The failure of creating a container."""
    words = message.lower()
    if _unavailable(status, words):
        return RuntimeUnavailable(message)
    if status == 409 or "is already in use by container" in words:
        return NameTaken(message)
    if status == 404:
        return NotFound(message)
    return StartRefused(message)


def of_start(status: int, message: str) -> RuntimeFailure:
    """The failure of starting a container.

    404 means that the container is gone only where Docker says so: it also answers 404 where a network of the
    container does not exist.
    """
    words = message.lower()
    if PORT_TAKEN.search(words):
        return PortTaken(message)
    if _unavailable(status, words):
        return RuntimeUnavailable(message)
    if (status == 404 and "no such container" in words) or "marked for removal" in words:
        return NotFound(message)
    return StartRefused(message)


def of_create_network(status: int, message: str) -> RuntimeFailure:
    """The failure of creating a network."""
    words = message.lower()
    if _unavailable(status, words):
        return RuntimeUnavailable(message)
    if re.search(r"overlap|conflicts with network|address already in use", words):
        return InUse(message)
    if status == 409:  # since 25: names of networks do collide
        return NameTaken(message)
    return RuntimeFailure(message)


def of_remove(status: int, message: str) -> RuntimeFailure:
    """The failure of removing a container, an image or a network."""
    words = message.lower()
    if "active endpoints" in words or "is already in progress" in words:  # networks: 403; a container: 409
        return InUse(message)
    return of_call(status, message)


def of_pull(status: int, message: str) -> RuntimeFailure:
    """The failure of a pull: the answer's, or (with status 0) a line of its stream.

    What cannot be told apart from a registry in trouble is a registry in trouble: it is tried again.
    """
    words = message.lower()
    if "no space left" in words or "read-only file system" in words:
        return RuntimeFailure(message)
    if "toomanyrequests" in words or "rate limit" in words:
        return RegistryUnavailable(message)
    if re.search(
        r"manifest unknown|manifest for .* not found|repository does not exist|name unknown|no matching manifest"
        r"|invalid reference format|invalid repository name",
        words,
    ):
        return ImageNotFound(message)
    if re.search(
        r"unauthorized|denied|no basic auth credentials|authentication required|incorrect username", words
    ):
        return ImageDenied(message)
    if re.search(r"cannot connect to the docker daemon|containerd\.sock|code = unavailable", words):
        return RuntimeUnavailable(message)
    if status == 404:
        return ImageNotFound(message)
    if status == 400:
        return ImageNotFound(message)
    return RegistryUnavailable(message)
