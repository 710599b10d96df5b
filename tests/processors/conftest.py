"""Fixtures of the processors' tests."""

from __future__ import annotations

import pytest

from deploy.local.stack import LocalStack
from tests.processors.running import City, city_of


@pytest.fixture
def city(stack: LocalStack, kafka_prefix: str, database: str) -> City:
    """Topics and a database of the test's own on the real servers."""
    return city_of(stack, kafka_prefix, database)
