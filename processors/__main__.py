"""`python -m processors`: the same as `citynerve process run`."""

from __future__ import annotations

import sys

from ingest.contract.operating import UserError
from processors.service import run_service

if __name__ == "__main__":
    try:
        sys.exit(run_service())
    except UserError as mistake:
        sys.stderr.write(f"{mistake}\n")
        sys.exit(mistake.exit_code)
