"""A service's metrics as numbers, asked from outside."""

import http.client
from collections.abc import Mapping

from deploy.local.readiness import HOST

_ANSWER_BUDGET_S = 1.0


def scrape(port: int) -> dict[str, float] | None:
    """Every series by its name and labels as they are written; None where the service does not answer in time.

    By http.client: httpx makes a TLS context for each question, which costs more than all the rest of a look.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_BUDGET_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode() if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return None if text is None else parsed(text)


def parsed(text: str) -> dict[str, float]:
    """Lines of the text format: name{labels} value. Timestamps are not expected: none of ours writes them."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def largest(metrics: Mapping[str, float], metric: str) -> float:
    """The largest of a metric's series, or the very series where labels are given; 0 where there is none."""
    return max(
        (value for name, value in metrics.items() if name == metric or name.startswith(f"{metric}{{")), default=0.0
    )
