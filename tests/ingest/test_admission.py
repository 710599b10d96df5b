"""What admission lets through, what it refuses and why, and what it changes on the way."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.admission import Admitted, TimeWindow, admit, number_of
from ingest.catalogue import Catalogue
from ingest.contract.reading import Flag
from ingest.contract.rejects import Reject, RejectReason
from ingest.contract.sensor_kinds import METRICS
from ingest.contract.topics import partition_of
from ingest.decoders.columns import Columns, VendorValue
from ingest.device_profile import DeviceProfile, load_profiles

NOW_US = 1_700_000_000_000_000
DAY = TimeWindow(86_400_000_000, 300_000_000)
PROFILE = DeviceProfile.model_validate(
    {
        "name": "test",
        "canonical_names": True,
        "strip_device_prefix": ["urn:x:"],
        "ignore": ["rssi*"],
        "metrics": {
            "t": {"metric": "air_temperature", "unit": "Cel", "sentinels": [327.67]},
            "tf": {"metric": "air_temperature", "unit": "[degF]"},
            "raw": {"metric": "air_temperature", "unit": "Cel", "scale": 0.1, "offset": -40},
            "lid": {"metric": "door_open", "unit": "1", "values": {"open": 1, "closed": 0}},
            "spl": {"metric": "sound_level", "unit": "dB", "out_of_range": "flag"},
            "bad_inline": {"metric": "air_pressure", "unit": "hPa", "override_unit": True},
        },
    }
)


def columns(
    *readings: tuple[str, str | None, str | None, VendorValue], time_us: int = NOW_US, flags: int = 0
) -> Columns:
    made = Columns()
    for message, (device, metric, unit, value) in enumerate(readings):
        made.message = message
        made.add(device, metric, unit, time_us, value, flags)
    return made


def judged(
    *readings: tuple[str, str | None, str | None, VendorValue], time_us: int = NOW_US, flags: int = 0
) -> Admitted:
    return admit(columns(*readings, time_us=time_us, flags=flags), PROFILE, Catalogue(4), DAY, NOW_US)


def reason(*reading: object, time_us: int = NOW_US, flags: int = 0) -> RejectReason:
    device, metric, unit, value = reading
    result = judged((str(device), metric, unit, value), time_us=time_us, flags=flags)  # type: ignore[arg-type]
    ((_, reject),) = result.rejects
    assert reject.detail
    return reject.reason


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected", "flags"),
    [
        ("t", None, 21.5, 21.5, Flag.NONE),
        ("tf", None, 68, 20.0, Flag.UNIT_CONVERTED),
        ("t", "K", 300, 26.85, Flag.UNIT_CONVERTED),
        ("raw", None, 600, 20.0, Flag.NONE),
        ("lid", None, "open", 1.0, Flag.NONE),
        ("lid", None, True, 1.0, Flag.NONE),
        ("t", None, " 21.50 ", 21.5, Flag.COERCED),
        ("lid", None, "true", 1.0, Flag.COERCED),
        ("spl", None, 500, 500.0, Flag.OUT_OF_RANGE),
        ("bad_inline", "Pa", 1000, 1000.0, Flag.NONE),
        ("wind_speed", "km/h", 36, 10.0, Flag.UNIT_CONVERTED),
    ],
)
def test_a_value_becomes_canonical(
    name: str, unit: str | None, value: VendorValue, expected: float, flags: Flag
) -> None:
    result = judged(("d", name, unit, value))
    assert result.rejects == []
    assert result.values.tolist() == pytest.approx([expected])
    assert result.flags.tolist() == [int(flags)]


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (("", "t", None, 1), RejectReason.NO_DEVICE),
        (("d\x00", "t", None, 1), RejectReason.BAD_DEVICE),
        (("ü" * 101, "t", None, 1), RejectReason.BAD_DEVICE),
        (("d", "unheard_of", None, 1), RejectReason.UNKNOWN_METRIC),
        (("d", None, "Cel", 1), RejectReason.UNKNOWN_METRIC),
        (("d", "wind_speed", None, 1), RejectReason.UNKNOWN_UNIT),
        (("d", "t", "furlong", 1), RejectReason.UNKNOWN_UNIT),
        (("d", "t", None, "warm"), RejectReason.NOT_A_NUMBER),
        (("d", "t", None, "21,5"), RejectReason.NOT_A_NUMBER),
        (("d", "t", None, "1_000"), RejectReason.NOT_A_NUMBER),
        (("d", "t", None, "٣"), RejectReason.NOT_A_NUMBER),
        (("d", "t", None, None), RejectReason.NOT_A_NUMBER),
        (("d", "t", None, "NaN"), RejectReason.NOT_FINITE),
        (("d", "t", None, "-inf"), RejectReason.NOT_FINITE),
        (("d", "t", None, 10**400), RejectReason.NOT_FINITE),
        (("d", "t", None, 327.67), RejectReason.SENTINEL),
        (("d", "t", None, 1000), RejectReason.OUT_OF_RANGE),
        (("d", "wind_speed", "km/h", 1e308), RejectReason.OUT_OF_RANGE),
    ],
)
def test_a_reading_is_refused_with_its_reason(reading: tuple[object, ...], expected: RejectReason) -> None:
    assert reason(*reading) is expected


def test_times_are_accepted_from_a_day_back_to_five_minutes_ahead() -> None:
    assert reason("d", "t", None, 1, time_us=NOW_US - DAY.max_age_us - 1) is RejectReason.TOO_OLD
    assert reason("d", "t", None, 1, time_us=NOW_US + DAY.max_ahead_us + 1) is RejectReason.IN_FUTURE
    assert len(judged(("d", "t", None, 1), time_us=NOW_US - DAY.max_age_us)) == 1
    assert len(judged(("d", "t", None, 1), time_us=NOW_US + DAY.max_ahead_us)) == 1


def test_an_unset_clock_gets_the_receive_time() -> None:
    result = judged(("d", "t", None, 1), time_us=0, flags=int(Flag.CLOCK_SUSPECT))
    assert result.time_us.tolist() == [NOW_US]
    assert result.flags.tolist() == [int(Flag.CLOCK_SUSPECT)]


def test_ignored_names_are_neither_admitted_nor_refused() -> None:
    result = judged(("d", "rssi_best", None, -60), ("d", "t", None, 1))
    assert len(result) == 1
    assert result.rejects == []


def test_one_reject_a_message_and_reason_counts_its_readings() -> None:
    made = columns(("d", "t", None, 1000), ("d", "t", None, 2000), ("d", "unheard_of", None, 1), ("d", "t", None, 20))
    made.messages[:] = [7, 7, 7, 7]
    made.rejects.append((7, Reject(RejectReason.BAD_TIME, "x")))
    result = admit(made, PROFILE, Catalogue(4), DAY, NOW_US)
    counts = {reject.reason: reject.readings for message, reject in result.rejects if message == 7}
    assert counts == {RejectReason.OUT_OF_RANGE: 2, RejectReason.UNKNOWN_METRIC: 1, RejectReason.BAD_TIME: 1}
    assert result.messages.tolist() == [7]


def test_the_catalogue_gives_partition_and_codes_once() -> None:
    catalogue = Catalogue(4)
    result = admit(columns(("urn:x:lamp", "t", None, 1), ("lamp", "t", None, 2)), PROFILE, catalogue, DAY, NOW_US)
    assert catalogue.devices == ["lamp"]
    assert catalogue.metrics == ["air_temperature"]
    assert set(catalogue.partitions[result.devices].tolist()) == {partition_of("lamp", 4)}
    again = admit(columns(("lamp", "t", None, 3)), PROFILE, catalogue, DAY, NOW_US)
    assert (again.devices[0], again.metrics[0]) == (result.devices[1], result.metrics[1])


def test_memory_grows_with_devices_and_names_and_not_with_their_pairs() -> None:
    catalogue = Catalogue(4)
    names = list(METRICS)
    profile = load_profiles(["canonical"])["canonical"]
    admit(columns(*[(f"d{n}", name, None, 1) for n in range(100) for name in names]), profile, catalogue, DAY, NOW_US)
    assert len(catalogue) == 100 + len(names)


def test_a_device_that_is_refused_takes_known_and_ignored_names_with_it() -> None:
    result = judged((" ", "t", None, 1), (" ", "unheard_of", None, 1), ("d", "t", None, 1))
    assert [(reject.reason, reject.readings) for _, reject in result.rejects] == [
        (RejectReason.NO_DEVICE, 1), (RejectReason.NO_DEVICE, 1),
    ]  # fmt: skip
    assert len(result) == 1


def test_a_flood_of_invented_names_starts_the_catalogue_again() -> None:
    catalogue = Catalogue(4, max_channels=1000)
    for start in range(0, 5000, 500):
        admit(
            columns(*[(f"d{number}", "t", None, 1) for number in range(start, start + 500)]),
            PROFILE,
            catalogue,
            DAY,
            NOW_US,
        )
        catalogue.make_room()
        assert len(catalogue) < 1500
    assert catalogue.resets >= 4
    assert len(admit(columns(("d1", "t", None, 1)), PROFILE, catalogue, DAY, NOW_US)) == 1


def test_an_empty_batch_is_admitted_empty() -> None:
    result = judged()
    assert len(result) == 0
    assert result.values.dtype == np.float64


def test_vendor_codes_win_over_numbers() -> None:
    rule = PROFILE.metrics["lid"].model_copy(update={"values": {"1": 0.0, "2": 1.0}})
    assert number_of(2, rule) == (1.0, 0)
    assert number_of("1", rule) == (0.0, 0)
