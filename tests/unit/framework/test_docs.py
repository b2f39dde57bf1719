"""docs/controllers.md shows the example as it is, and names every metric."""

from __future__ import annotations

import re
from pathlib import Path

from roj.framework.metrics import Metrics

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "controllers.md").read_text()
EXAMPLE = ROOT / "examples" / "hosts_file"


def test_every_block_of_code_is_in_the_example() -> None:
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 5
    sources = [(EXAMPLE / name).read_text() for name in ("hosts_file.py", "pyproject.toml")]
    for block in blocks:
        assert any(block in source for source in sources), block


def test_every_metric_is_documented_as_it_describes_itself() -> None:
    for family in Metrics().registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert re.search(rf"\| `{name}` \|.*\| {re.escape(family.documentation)} \|", DOCS), name


def test_every_module_is_in_the_table() -> None:
    for module in (ROOT / "roj" / "framework").glob("[a-z]*.py"):
        assert f"`{module.name}`" in DOCS
