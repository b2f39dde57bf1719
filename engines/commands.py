"""Short commands: run to the end, their words kept for the error."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from engines.errors import EngineError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for: a user's PATH often lacks the sbin directories."""


def plain_environment(home: Path | None = None) -> dict[str, str]:
    """An environment in which nothing of the user's Consul, Docker or roj is left."""
    return {"PATH": SEARCH_PATH, "HOME": str(home or "/"), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def tried(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` without input; a program that is not there or takes too long has exit code 127 or 124."""
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            env=dict(environment) if environment is not None else plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"not done after {timeout:g} s")


def ran(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> str:
    """Run `argv` and return what it printed.

    Raises EngineError, with the command and its words, where it does not exit with 0.
    """
    done = tried(argv, cwd=cwd, environment=environment, timeout=timeout)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise EngineError(f"`{' '.join(argv)}` failed ({done.returncode}): " + "\n  ".join(words[-15:]))
    return done.stdout


def is_root() -> bool:
    """True if this process may do what root may, as far as the user id says."""
    return os.geteuid() == 0
