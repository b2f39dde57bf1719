"""Docker's words, and what they mean. Those of 20.10.24 are as a real engine gave them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roj.runtime import docker_errors
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

CREATE, START, PULL = docker_errors.of_create, docker_errors.of_start, docker_errors.of_pull
REMOVE, NETWORK = docker_errors.of_remove, docker_errors.of_create_network
CONNECTIVITY = "driver failed programming external connectivity on endpoint p1 (2d66): "


@pytest.mark.parametrize(
    ("meaning", "status", "words", "kind"),
    [
        (CREATE, 404, "No such image: registry.test/web:v1", NotFound),
        (CREATE, 409, 'Conflict. The container name "/a" is already in use by container "a612".', NameTaken),
        (CREATE, 400, "Invalid container name (b/v), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", StartRefused),
        (CREATE, 500, 'invalid mount config for type "bind": mount path must be absolute', StartRefused),
        (CREATE, 502, "Bad Gateway", RuntimeUnavailable),
        (START, 404, "No such container: x", NotFound),
        (START, 404, "network deadbeef not found", StartRefused),
        (START, 400, "network n1 is ambiguous (2 matches found on name)", StartRefused),
        (START, 409, "cannot start a paused container, try unpause instead", StartRefused),
        (START, 409, "container is marked for removal and cannot be started", NotFound),
        (START, 400, 'exec: "nosuch": executable file not found in $PATH: unknown', StartRefused),
        (START, 500, CONNECTIVITY + "Bind for 0.0.0.0:80 failed: port is already allocated", PortTaken),
        (START, 500, CONNECTIVITY + "listen tcp4 0.0.0.0:80: bind: address already in use", PortTaken),
        (START, 500, "failed to bind host port 0.0.0.0:80/tcp: address already in use", PortTaken),
        (START, 500, CONNECTIVITY + "Unable to enable DNAT rule: iptables failed", StartRefused),
        (START, 500, "connection error: dial unix /run/containerd/containerd.sock: refused", RuntimeUnavailable),
        (REMOVE, 409, "You cannot remove a running container 6ec1. Stop the container", InUse),
        (REMOVE, 409, "removal of container 6ec1 is already in progress", InUse),
        (REMOVE, 409, "conflict: unable to delete 48a6 (must be forced) - image is referenced", InUse),
        (REMOVE, 403, "network n1 id 7032 has active endpoints", InUse),
        (REMOVE, 404, "No such image: other:t", NotFound),
        (NETWORK, 403, "Pool overlaps with other one on this address space", InUse),
        (NETWORK, 403, "conflicts with network 7d (br-7d): networks have overlapping IPv4", InUse),
        (NETWORK, 409, "network with name n1 already exists", NameTaken),
        (PULL, 404, "manifest for a/b:1 not found: manifest unknown: manifest unknown", ImageNotFound),
        (PULL, 400, "invalid reference format: repository name must be lowercase", ImageNotFound),
        (PULL, 404, "pull access denied for x, repository does not exist or may require 'docker login'", ImageNotFound),
        (PULL, 0, "no matching manifest for linux/arm64 in the manifest list entries", ImageNotFound),
        (PULL, 500, 'Head "https://r/v2/x/manifests/1": no basic auth credentials', ImageDenied),
        (PULL, 500, "unauthorized: authentication required", ImageDenied),
        (PULL, 0, "denied: requested access to the resource is denied", ImageDenied),
        (PULL, 500, "toomanyrequests: You have reached your pull rate limit", RegistryUnavailable),
        (PULL, 500, 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', RegistryUnavailable),
        (PULL, 500, "Get https://r/v2/: context deadline exceeded (Client.Timeout exceeded)", RegistryUnavailable),
        (PULL, 0, "received unexpected HTTP status: 503 Service Unavailable", RegistryUnavailable),
        (PULL, 0, "write /var/lib/docker/tmp/GetImageBlob1: no space left on device", RuntimeFailure),
    ],
)  # fmt: skip
def test_words(
    meaning: Callable[[int, str], RuntimeFailure], status: int, words: str, kind: type[RuntimeFailure]
) -> None:
    failure = meaning(status, words)
    assert type(failure) is kind
    assert str(failure) == words


@given(st.sampled_from([CREATE, START, PULL, REMOVE, NETWORK]), st.integers(300, 599), st.text())
def test_any_answer_has_a_meaning(
    meaning: Callable[[int, str], RuntimeFailure], status: int, words: str
) -> None:
    assert isinstance(meaning(status, words), RuntimeFailure)
