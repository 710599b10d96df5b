"""The API against its own description: no request made from openapi.json gets a 500, and no invalid one is accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
)
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode

from tests.control_center.conftest import Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("seeded"),
    # the control center's own use of `random`, in another thread, is taken for the strategy's
    pytest.mark.filterwarnings("ignore:Do not use the .random. module"),
]
EXAMPLES = 30
"""Requests for each operation and mode."""
ENDLESS = "/api/v1/stream"
"""Server-sent events never end; tests/control_center/test_stream.py drives it."""
CHECKS = [not_a_server_error, negative_data_rejection, content_type_conformance, response_schema_conformance]


@dataclass
class Probed:
    """What one operation answered in one mode."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def probe(operation: Any, base_url: str, mode: GenerationMode) -> Probed:
    """Many requests to one operation, the same ones in every run."""
    probed = Probed()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=base_url, timeout=10)
        probed.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            url = answer.request.url
            probed.broken.append(f"{case.method} {url} {case.body!r:.100} -> {answer.status_code}: {failure!s:.600}")

    with contextlib.suppress(Unsatisfiable):
        ask()
    return probed


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
async def test_no_request_gets_a_500_and_no_invalid_one_is_accepted(control: Running, mode: GenerationMode) -> None:
    document = (await control.client.get("/api/openapi.json")).json()
    found: list[Any] = list(schemathesis.openapi.from_dict(document).get_all_operations())
    operations = [result.ok() for result in found]
    statuses: Counter[int] = Counter()
    for operation in operations:
        if operation.path != ENDLESS:
            probed = await asyncio.to_thread(probe, operation, control.base_url, mode)
            assert probed.broken == [], f"{operation.label}: {len(probed.broken)} answers break the rules"
            statuses += probed.statuses
    print(f"{mode.value}: {statuses.total()} requests, {dict(statuses)}")
    assert len(operations) >= 12
    assert statuses.total() >= 300
    assert max(statuses) < 500
    if mode is GenerationMode.POSITIVE:
        assert statuses[200] >= 100


async def test_a_parameter_given_twice_is_refused(control: Running) -> None:
    answer = await control.client.get("/api/v1/devices?kind=noise&kind=weather")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "repeated_parameter")
