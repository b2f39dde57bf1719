"""What the services of one Compose file share, and what reads one of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from roj.importers.draft import Draft
from roj.importers.notes import Notes
from roj.importers.reading import Node

KEPT = "roj keeps containers running"
ONE_NETWORK = "the containers of an instance have one network, its own"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a Compose file means depends on: where it is, and who asks."""

    directory: str
    """Of the file, absolute."""
    variables: Mapping[str, str]
    """The environment of the command."""
    read: Callable[[str], str]
    """The text of a file beside it. Raises OSError or ValueError."""


@dataclass(slots=True)
class Project:
    """What the services of one file share."""

    around: Surroundings
    notes: Notes
    known: Mapping[str, str]
    """The variables: those of the environment, then of `.env`."""
    volume: Callable[[Node, str], str]
    """The full name of a named volume."""
    name: str
    services: Collection[str]
    """Those that are imported."""
    images: Mapping[str, str] = field(default_factory=dict)
    """References of images by service, in place of the file's."""


class Service:
    """One service while it is read, and the container that is made of it."""

    def __init__(self, name: str, draft: Draft, project: Project) -> None:
        self.name = name
        self.draft = draft
        self.project = project
        self.notes = project.notes


Reader = Callable[[Service, Node], None]
"""Takes, changes or refuses what stands under one key of a service."""


def project_name(text: str) -> str:
    """The name of a project as Compose makes it of a directory's."""
    return re.sub(r"[^a-z0-9_-]", "", posixpath.basename(text.rstrip("/")).lower()).lstrip("_-") or "project"
