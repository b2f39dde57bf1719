"""Where the tutorial is played: on real engines, or, where none can run, on simulated containers.

Exit code 0: every step did what the tutorial says.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo.screen import Screen
from demo.stage import RealStage, SimulatedStage, Stage
from demo.tutorial import Surprise, play
from engines import EngineError, missing_rights
from engines.commands import is_root, plain_environment, tried
from engines.packages import FETCHED

SOURCES = Path(__file__).resolve().parent.parent


def main() -> int:
    """Play it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="without engines, even where they could run")
    simulated: bool = parser.parse_args().simulated
    why = "as asked" if simulated else missing_rights()
    if why is None and not is_root():
        _as_root()
    screen = Screen("[simulated] " if why is not None else "")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with ExitStack() as stack:
            stage: Stage
            if why is None:
                screen.say("Starting a Consul, a Docker Engine and a registry of the demo's own ...")
                stage = stack.enter_context(RealStage(screen))
            else:
                screen.say(
                    f"No Consul and no Docker here, but an embedded store and simulated containers: {why}."
                )
                stage = stack.enter_context(SimulatedStage(screen))
            play(stage, screen)
    except (EngineError, Surprise) as problem:
        screen.say(f"The demo ends here: {problem}")
        return 1
    except KeyboardInterrupt:
        screen.say("Interrupted; all that the demo started is ended and removed.")
        return 130
    finally:
        _give_back()
    screen.say("Done. All that the demo started is ended and removed.")
    return 0


def _as_root() -> NoReturn:
    """The same once more, as root: engines need it, and `sudo -n` was seen to work."""
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    variables = {**plain_environment(), **kept, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [f"{name}={value}" for name, value in variables.items()]
    print("This is not root: going on with sudo, as Docker needs it.", flush=True)
    os.chdir(SOURCES)
    os.execvp("sudo", ["sudo", "-n", "env", *words, sys.executable, "-m", "demo"])


def _give_back() -> None:
    """What was fetched into the source tree by sudo belongs to whoever called it."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if is_root() and user and group and FETCHED.exists():
        tried(["chown", "-R", f"{user}:{group}", str(FETCHED)])


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
