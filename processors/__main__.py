"""`python -m processors`: the same as `citynerve process run`."""

from __future__ import annotations

import sys

from processors.service import run_service

if __name__ == "__main__":
    sys.exit(run_service())
