"""Cleans up after a run that was killed: `python -m engines.janitor DIRECTORY`, started by every run.

It holds the read end of a pipe whose other end only the run has: the pipe ends when the run does, even by kill -9.
"""

import fcntl
import sys
from pathlib import Path

from engines.run import clean


def main(directory: Path) -> None:
    """Wait for the run's end; clean what it did not clean itself."""
    sys.stdin.buffer.read()
    try:
        lock = (directory / "lock").open("r")
    except FileNotFoundError:
        return  # the run cleaned up itself
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clean(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
