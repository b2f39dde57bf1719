"""The command itself: its table, its errors and exit codes, and that it is quick because it imports little."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import click
import pytest

import roj
from roj.api.faults import Fault, InvalidInput, UnreadableRecord
from roj.cli import main as command
from roj.cli.context import who
from roj.cli.errors import EXIT_CODES, reported
from roj.cli.main import COMMANDS, Entry, main, run
from roj.runtime.interface import RuntimeUnavailable
from roj.store.interface import Conflict, StoreDenied, StoreUnavailable, TooLarge


def called(*words: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `roj WORDS`."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(words, variables=variables)
    return code, out.getvalue(), err.getvalue()


def raised(error: BaseException, **variables: str) -> tuple[int, str]:
    """Exit code and stderr of a command that raises `error`."""

    def fail() -> None:
        raise error

    err = StringIO()
    with redirect_stderr(err), reported(variables) as outcome:
        fail()
    return outcome.code, err.getvalue()


def test_version_is_one_line() -> None:
    assert called("version") == (0, f"roj {roj.__version__}\n", "")


def test_version_and_help_import_no_part_of_roj_and_nothing_heavy() -> None:
    code = (
        "import sys; from roj.cli.main import run; run(['version']); run(['--help']); "
        "print([m for m in sys.modules if m.startswith(('roj.', 'pydantic', 'rich', 'yaml', 'docker', 'consul', "
        "'requests', 'prometheus'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "['roj.cli', 'roj.cli.errors', 'roj.cli.context', 'roj.cli.main']"


def test_help_works_with_nothing_configured_and_names_every_command() -> None:
    code, out, err = called("--help", CONSUL_HTTP_ADDR="nonsense://")
    assert (code, err) == (0, "")
    for name, entry in COMMANDS.items():
        assert f"  {name} " in out
        assert entry.help.split()[0] in out


def test_an_unknown_command_is_wrong_usage_and_the_closest_is_named() -> None:
    code, out, err = called("instnces")
    assert (code, out) == (2, "")
    assert "Did you mean `roj instances`?" in err


def test_wrong_options_are_wrong_usage() -> None:
    code, out, err = called("nodes", "--nonsense")
    assert (code, out) == (2, "")
    assert "--nonsense" in err
    assert called("nodes", "-o", "xml")[0] == 2


def test_a_part_that_is_missing_breaks_only_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "dev", Entry("roj.cli.not_there:dev", "Not there."))
    code, _, err = called("dev")
    assert code == 1
    assert err == "roj: this roj was built without `roj dev`\n"
    assert called("version")[0] == 0
    assert called("--help")[0] == 0


def test_an_import_that_fails_inside_a_part_is_not_mistaken_for_a_missing_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_part.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(COMMANDS, "dev", Entry("broken_part:dev", "Broken."))
    code, _, err = called("dev")
    assert code == 1
    assert "not_there_at_all" in err


def test_every_command_that_is_built_in_has_help() -> None:
    context = click.Context(main, info_name="roj")
    for name in COMMANDS:
        try:
            found = main.get_command(context, name)
        except click.ClickException:
            continue
        assert found is not None
        assert found.help, name


HELP = ["-h", "--help"]


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by what is typed for it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command, info_name=path, help_option_names=HELP)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(commands(main, "roj")))
def test_help_has_examples_and_names_what_every_value_is(path: str, command: click.Command) -> None:
    text = command.get_help(
        click.Context(command, info_name=path, terminal_width=100, help_option_names=HELP)
    )
    examples = [line for line in text.splitlines() if line.strip().startswith(f"{path}")]
    assert examples or path == "roj version", "a line to copy"
    assert " TEXT" not in text and " INTEGER" not in text


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            StoreUnavailable("consul://c:1 cannot be reached"),
            6,
            "roj: the store consul://c:1 cannot be reached\n",
        ),
        (StoreDenied("consul://c:1 denies x"), 7, "roj: the store consul://c:1 denies x\n"),
        (Conflict("roj/v1/x"), 5, "changed it meanwhile"),
        (TooLarge("too many bytes"), 2, "too many bytes"),
        (RuntimeUnavailable("no socket"), 6, "Docker cannot be reached: no socket"),
        (UnreadableRecord("app is not JSON"), 1, "app is not JSON"),
        (InvalidInput([Fault("containers[0].name", "is missing")]), 2, "containers[0].name: is missing"),
        (click.ClickException("no"), 1, "no"),
        (RuntimeError("a\nb"), 1, "unexpected: RuntimeError: a\n"),
        (KeyError(), 1, "unexpected: KeyError\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_become_a_line_and_an_exit_code(error: BaseException, code: int, words: str) -> None:
    found, text = raised(error)
    assert found == code
    assert words in text
    assert "Traceback" not in text
    assert code in EXIT_CODES


def test_a_clients_error_brings_its_own_code_and_hint() -> None:
    from roj.client.errors import ClientError, NotFound

    code, text = raised(NotFound("there is no app x", hint="`roj apps` lists all."))
    assert issubclass(NotFound, ClientError)
    assert (code, text) == (4, "roj: there is no app x\n`roj apps` lists all.\n")


def test_all_faults_of_an_input_are_told() -> None:
    code, text = raised(InvalidInput([Fault("a", "is missing"), Fault("b", "is not known here")]))
    assert code == 2
    assert text.splitlines() == ["roj: 2 faults:", "  a: is missing", "  b: is not known here"]


def test_an_unexpected_error_says_how_to_see_more_and_does_when_asked() -> None:
    _, text = raised(RuntimeError("oh"))
    assert "ROJ_DEBUG=1" in text
    _, text = raised(RuntimeError("oh"), ROJ_DEBUG="1")
    assert "Traceback" in text


def test_no_store_is_exit_code_6_with_a_hint() -> None:
    code, out, err = called("nodes", "--store", "consul://127.0.0.1:1")
    assert (code, out) == (6, "")
    assert "--store" in err


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_store_that_is_no_address_is_invalid_input(place: str) -> None:
    wrong = ["--store", "nonsense://x"]
    code, out, _ = called(*([*wrong, "nodes"] if place == "before" else ["nodes", *wrong]))
    assert (code, out) == (2, "")


def test_nobody_reading_is_no_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "roj", "version"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_who_asks_is_the_user_who_called_sudo() -> None:
    assert who({"SUDO_USER": "anna"}).startswith("anna@")
    assert "@" in who({})


def test_the_version_option_says_the_same() -> None:
    assert called("--version")[:2] == (0, f"roj {roj.__version__}\n")


def test_whatever_a_command_raises_run_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Callable[[], None]:
        raise RuntimeError("broken")

    monkeypatch.setattr(command.version, "callback", fail)
    code, out, err = called("version")
    assert (code, out) == (1, "")
    assert "broken" in err
