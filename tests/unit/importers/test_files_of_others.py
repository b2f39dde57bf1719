"""Files that others wrote (README.md beside this names them): read to the end, and every value of them accounted for."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from roj.api.app import AppSpec
from roj.cli.flags import parsed
from roj.cli.main import run
from roj.importers.reading import leaves, tree_of
from tests.unit.importers.accounted import unaccounted

HERE = Path(__file__).parent
FILES = sorted([*HERE.glob("compose/*"), *HERE.glob("helios/*")])
WHOLE = {
    "gitea-postgres.yaml",
    "minecraft.yaml",
    "graylog.yaml",
    "postgresql-pgadmin.yaml",
    "user_manual-testjob.json",
}
"""Those of which nothing is refused."""


def imported(*words: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["import", *words], variables={"HOME": "/home/me", "PWD": "/srv"})
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_every_value_is_accounted_for(file: Path) -> None:
    code, out, err = imported(file.parent.name, str(file))
    assert code == (0 if file.name in WHOLE else 2), err
    assert bool(out) == (code == 0)
    assert "unexpected" not in err
    assert ("\nrefused" in err) == (code == 2)
    tree = tree_of(parsed(file.read_text(), "", []), "")
    places = [
        line.split()[1].removesuffix(":")
        for line in err.splitlines()
        if line[:7].strip() in {"taken", "changed", "refused"}
    ]
    assert unaccounted(tree, places) == []
    assert len(list(leaves(tree))) > 0


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_what_is_printed_is_an_app_file(file: Path) -> None:
    images = ["--image", "nginx:1.27"] if file.parent.name == "helios" else []
    code, out, err = imported(file.parent.name, str(file), "--partial", *images)
    assert code in (0, 2)
    spec = AppSpec.checked(parsed(out, "", []))
    assert all(container.image for container in spec.containers), err


def test_an_image_that_is_given_makes_up_for_a_build() -> None:
    file = str(HERE / "compose/fastapi-ollama.yaml")
    code, out, err = imported("compose", file, "--image", "web=registry.example/web:1")
    assert code == 0, err
    names = [(c.name, c.image) for c in AppSpec.checked(parsed(out, "", [])).containers]
    assert names == [("ollama", "ollama/ollama:latest"), ("web", "registry.example/web:1")]
