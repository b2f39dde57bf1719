"""`roj` as it is, but for two times that a test cannot wait for: what the collector takes for old, and how often it looks."""

from __future__ import annotations

import sys
from datetime import timedelta

from roj.cli.main import run
from roj.controllers import garbage, garbage_collection

if __name__ == "__main__":
    garbage.MINIMUM_AGE = timedelta(seconds=1)
    garbage_collection.EVERY = 1.0
    sys.exit(run())
