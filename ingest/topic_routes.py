"""Which route a topic takes: MQTT's own matching of filters, remembered for each topic."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.settings import Route

_MOST_REMEMBERED, _LONGEST_REMEMBERED = 200_000, 500
"""Topics and their characters: an MQTT topic may have 65,535 bytes, and 200,000 invented ones of those would be 13 GB."""


class TopicRoutes:
    """Routes in the order of the settings, which is their number; the first one that matches is taken."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._known: dict[str, int | None] = {}

    def numbers(self, topics: Sequence[str]) -> list[int | None]:
        """The route of each topic, or None."""
        try:
            return list(map(self._known.__getitem__, topics))
        except KeyError:
            return [self._number(topic) for topic in topics]

    def find(self, topic: str) -> Route | None:
        """The route of a topic, or None."""
        number = self._number(topic)
        return None if number is None else self._routes[number]

    def _number(self, topic: str) -> int | None:
        if topic in self._known:
            return self._known[topic]
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        found = next((number for number, route in enumerate(self._routes) if matches(route.topic, topic)), None)
        if len(topic) <= _LONGEST_REMEMBERED:
            self._known[topic] = found
        return found


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT filter takes a topic; wildcards at the first level never take a `$` topic."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)
