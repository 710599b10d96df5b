"""Addresses as settings give them. A wrong one is refused where it is read: the clients answer it with tracebacks of their own."""

from __future__ import annotations

import re

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@,\[\]]+)(?::([0-9]{1,5}))?")


def is_host_list(text: str) -> bool:
    """Whether this is `host` or `host:port`, several of them with commas between; an IPv6 address stands in brackets."""
    return all(_is_host(part.strip()) for part in text.split(","))


def checked_dsn(text: str) -> str:
    """The same text.

    Raises:
        ValueError: it is no address of a PostgreSQL database. The text is not repeated: it may hold a password.
    """
    scheme, _, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("must start with postgresql://, e.g. postgresql://user@127.0.0.1:25432/citynerve")
    if authority and not is_host_list(authority):
        raise ValueError("has no host:port after postgresql://, e.g. postgresql://user@127.0.0.1:25432/citynerve")
    return text


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and (found[1] is None or 1 <= int(found[1]) <= 65535)
