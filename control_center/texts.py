"""Every sentence the API says, in English and Vietnamese, read once from texts.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final, Literal

Language = Literal["en", "vi"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "vi")
DEFAULT_LANGUAGE: Final[Language] = "en"


@cache
def catalogue() -> dict[str, dict[Language, str]]:
    """The sentences by key; a key without both languages is a mistake of ours and fails at start."""
    with (Path(__file__).parent / "texts.toml").open("rb") as file:
        entries = tomllib.load(file)
    incomplete = [key for key, entry in entries.items() if set(entry) != set(LANGUAGES)]
    if incomplete:
        raise ValueError(f"texts.toml: needs exactly en and vi: {', '.join(incomplete)}")
    return entries


def text(key: str, language: Language, **values: object) -> str:
    """The sentence `key` with `values` filled in. Values are data: braces in them mean nothing."""
    return catalogue()[key][language].format(**values)


def preferred_language(accept_language: str) -> Language:
    """The best of our languages for an Accept-Language header (RFC 9110 12.5.4); English where it names none of them."""
    best: tuple[float, Language] = (0.0, DEFAULT_LANGUAGE)
    for item in accept_language[:500].split(","):
        tag, _, parameters = item.partition(";")
        language = tag.strip().split("-")[0].lower()
        quality = _quality(parameters)
        for known in LANGUAGES:
            if language == known and quality > best[0]:
                best = (quality, known)
    return best[1]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
