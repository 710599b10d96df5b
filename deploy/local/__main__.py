"""`python -m deploy.local [--browser]`: fetch the servers and build the page without starting anything."""

import argparse
import sys

from deploy.local.page import build_page
from deploy.local.prerequisites import check_host
from deploy.local.provision import provide_browser, provide_programs
from deploy.local.trouble import Trouble


def main() -> int:
    """Fetch and build what is absent; return 1 after one sentence where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--browser", action="store_true", help="also the Chromium that tests use")
    with_browser = parser.parse_args().browser
    try:
        check_host()
        provide_programs()
        if with_browser:
            provide_browser()
        build_page()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
