"""Every vector of the formats this version reads gives the readings it means: vendor names first, then what the profile makes of them."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.admission import admit
from ingest.catalogue import Catalogue
from ingest.contract.reading import Flag
from ingest.decoders.columns import Arrival, Columns
from ingest.device_profile import DeviceProfile, load_profiles
from ingest.hand_decode import ANY_TIME
from ingest.reading_slice import decode_message, decoder_for

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"
PROFILES = Path(__file__).parent / "profiles"
FORMATS = ("plain-json", "senml-json", "chirpstack-v4")
PROFILE_OF_FORMAT = {"chirpstack-v4": "lorawan"}
# payloads whose shape only a mapping can explain: where the device id is, which columns are readings
PROFILE_OF_VECTOR = {"plain-json/08": "usgs", "plain-json/10": "scales", "plain-json/13": "first-level"}
RECEIVED_US = 1_700_000_000_000_000


def vectors() -> list[dict[str, Any]]:
    index = VECTORS / "index.json"
    if not index.is_file():
        return []
    return [vector for vector in json.loads(index.read_text()) if vector["format"] in FORMATS]


def decoded(vector: dict[str, Any]) -> tuple[Columns, DeviceProfile]:
    name = PROFILE_OF_VECTOR.get(vector["id"], PROFILE_OF_FORMAT.get(vector["format"], "canonical"))
    profile = load_profiles([name], PROFILES)[name]
    columns = Columns()
    payload = (VECTORS / vector["file"]).read_bytes()
    arrival = Arrival(vector["topic"], RECEIVED_US)
    decode_message(decoder_for(vector["format"], profile), payload, arrival, columns)
    return columns, profile


def microseconds(iso: str) -> int:
    """An RFC 3339 time with any number of decimals, cut (not rounded) to microseconds."""
    head, _, tail = iso.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(head + "+00:00").timestamp()
    return round(seconds) * 1_000_000 + int(tail[:6].ljust(6, "0"))


def expected_time(reading: dict[str, Any]) -> int:
    if reading.get("time") is not None:
        return microseconds(reading["time"])
    offset_s: float = reading.get("time_offset_s", 0)
    return RECEIVED_US + round(offset_s * 1e6)


def same_value(found: Any, wanted: Any, *, coerced: bool) -> bool:
    if coerced and isinstance(found, str):
        found = {"true": True, "false": False}.get(found.lower(), found)
        if isinstance(found, str):
            return math.isclose(float(found), float(wanted), rel_tol=1e-12)
    if isinstance(wanted, str) or isinstance(found, str):
        return bool(found == wanted)
    return math.isclose(float(found), float(wanted), rel_tol=1e-12)


def position(columns: Columns, wanted: dict[str, Any]) -> int | None:
    """Where the columns hold an expected reading (before mapping)."""
    for index in range(len(columns)):
        unit = columns.units[index]
        if (
            columns.devices[index] == wanted["device"]
            and columns.metrics[index] == wanted["metric"]
            and (unit is None or unit == wanted["unit"])
            and columns.times[index] == expected_time(wanted)
            and same_value(columns.values[index], wanted["value"], coerced=bool(wanted.get("coerced")))
        ):
            return index
    return None


@pytest.fixture(params=vectors() or [{}], ids=lambda vector: vector.get("id", "absent"))
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    if not request.param:
        pytest.skip(f"no vectors at {VECTORS}")
    found: dict[str, Any] = request.param
    return found


def test_gives_every_expected_reading(vector: dict[str, Any]) -> None:
    columns, _ = decoded(vector)
    missing = [wanted for wanted in vector["expected"] if position(columns, wanted) is None]
    assert not missing, (
        f"got {list(zip(columns.devices, columns.metrics, columns.units, columns.times, columns.values, strict=True))}"
    )


def test_has_the_stated_outcome(vector: dict[str, Any]) -> None:
    columns, profile = decoded(vector)
    rejects = admit(columns, profile, Catalogue(4), ANY_TIME, RECEIVED_US).rejects
    if vector["outcome"] == "ignore":
        assert len(columns) == 0
        assert not rejects
    elif vector["outcome"] == "error":
        assert len(columns) == 0
        assert len(columns.rejects) == 1
    elif vector["outcome"] == "partial":
        suspect = [flag for flag in columns.flags if flag & Flag.CLOCK_SUSPECT]
        assert rejects or suspect
    else:
        assert not columns.rejects


def test_maps_to_the_common_vocabulary(vector: dict[str, Any]) -> None:
    columns, profile = decoded(vector)
    catalogue = Catalogue(4)
    admitted = admit(columns, profile, catalogue, ANY_TIME, RECEIVED_US)
    found = {
        (catalogue.devices[device], catalogue.metrics[metric]): value
        for device, metric, value in zip(admitted.devices, admitted.metrics, admitted.values.tolist(), strict=True)
    }
    for wanted in vector["expected"]:
        if "norm" not in wanted:
            continue
        norm = wanted["norm"]
        assert catalogue.unit(norm["metric"]) == norm["unit"]
        assert math.isclose(found[wanted["device"], norm["metric"]], norm["value"], rel_tol=1e-12)


def test_refuses_what_the_vector_calls_bad(vector: dict[str, Any]) -> None:
    columns, profile = decoded(vector)
    bad = {wanted["metric"] for wanted in vector["expected"] if wanted.get("quality") == "bad"}
    admitted = admit(columns, profile, Catalogue(4), ANY_TIME, RECEIVED_US)
    kept = {
        columns.metrics[index] for index in range(len(columns)) if index in set(_admitted_positions(columns, profile))
    }
    assert not bad & kept
    assert not bad or admitted.rejects


def _admitted_positions(columns: Columns, profile: DeviceProfile) -> list[int]:
    numbered = Columns(
        columns.devices, columns.metrics, columns.units, columns.times, columns.values, columns.flags,
        list(range(len(columns))), columns.odd,
    )  # fmt: skip
    positions: list[int] = admit(numbered, profile, Catalogue(4), ANY_TIME, RECEIVED_US).messages.tolist()
    return positions
