"""`python -m roj` is `roj`."""

from __future__ import annotations

import sys

from roj.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
