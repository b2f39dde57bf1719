"""`roj node VERB`: what concerns one node."""

from __future__ import annotations

import click

from roj.cli import node_marks
from roj.cli.node_gc import gc


@click.group()
def node() -> None:
    """What concerns one node: labels and windows, what it takes and does, and what is left on it.

    What is declared is written into the node's record, which its agent obeys. `roj nodes -o wide` shows it.
    """


for command in (
    node_marks.label, node_marks.cordon, node_marks.uncordon, node_marks.drain, node_marks.freeze, node_marks.unfreeze,
    node_marks.window, node_marks.forget, node_marks.rejoin, gc,
):  # fmt: skip
    node.add_command(command)
