"""How far a pull is, from the lines that Docker writes while it pulls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STEP = 10
"""Per cent between two words about it: every word may become a write to the store."""

DONE = ("Download complete", "Already exists", "Extracting", "Pull complete")


@dataclass(slots=True)
class _Layer:
    size: int = 0
    """Bytes; 0 until known."""
    loaded: int = 0
    done: bool = False


class PullProgress:
    """Counts bytes over layers; a layer whose size is not known yet counts as the mean of those known."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self._told = -STEP

    def feed(self, line: Mapping[str, object]) -> str | None:
        """Take one line of the stream; what is to be said now (`pulling 40 %`), or None.

        What is said never goes back, and is at most 11 lines for one pull.
        """
        self._take(line)
        percent = self._percent() // STEP * STEP
        if not self._layers or percent <= self._told:
            return None
        self._told = percent
        return f"pulling {percent} %"

    def _take(self, line: Mapping[str, object]) -> None:
        name, status = line.get("id"), line.get("status")
        if not isinstance(name, str) or not isinstance(status, str):
            return
        if status == "Pulling fs layer" or status in DONE:
            layer = self._layers.setdefault(name, _Layer())
            layer.done = layer.done or status in DONE
        elif status == "Downloading":
            layer = self._layers.setdefault(name, _Layer())
            detail = line.get("progressDetail")
            if isinstance(detail, Mapping):
                size, loaded = detail.get("total"), detail.get("current")
                if isinstance(size, int) and size > 0:
                    layer.size = size
                if isinstance(loaded, int):
                    layer.loaded = max(layer.loaded, loaded)

    def _percent(self) -> int:
        layers = self._layers.values()
        sizes = [layer.size for layer in layers if layer.size]
        mean = sum(sizes) / len(sizes) if sizes else 1.0
        total = sum(layer.size or (0 if layer.done and sizes else mean) for layer in layers)
        loaded = sum(
            (layer.size or (0 if sizes else mean)) if layer.done else min(layer.loaded, layer.size)
            for layer in layers
        )
        return min(100, int(100 * loaded / total)) if total else 0
