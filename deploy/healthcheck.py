"""Container health check: `python deploy/healthcheck.py PORT` exits 0 when /readyz answers 200, else prints the reasons and exits 1."""

import sys
import urllib.error
import urllib.request

BUDGET_S = 4.0


def reasons(port: int) -> str | None:
    """None when the service on the port is ready, else why not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=BUDGET_S):
            return None
    except urllib.error.HTTPError as error:
        return error.read(2000).decode(errors="replace")
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    why = reasons(int(sys.argv[1]))
    if why is not None:
        print(why)
        sys.exit(1)
