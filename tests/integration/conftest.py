"""A whole way for each test that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.integration.whole_way import WholeWay

MakeWay = Callable[..., WholeWay]


@pytest.fixture
def whole_way(stack: LocalStack, mqtt_root: str, kafka_prefix: str, database: str, tmp_path: Path) -> Iterator[MakeWay]:
    """Starts a gateway and a processor with a database of their own; `whole_way(time_zone="Asia/Shanghai")`."""
    made: list[WholeWay] = []

    def start(**settings: Any) -> WholeWay:
        way = WholeWay(stack, mqtt_root, kafka_prefix, database, tmp_path, **settings)
        made.append(way)
        way.start()
        return way

    yield start
    for way in made:
        way.clean_up()
