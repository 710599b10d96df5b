"""Device profiles: files that are checked whole before anything starts, and the order in which names are looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.contract.operating import UserError
from ingest.device_profile import BUILT_IN, DeviceProfile, load_profiles, parse_zone, read_profile


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.toml")), ids=lambda path: path.stem)
def test_every_built_in_profile_is_valid_and_named_as_its_file(path: Path) -> None:
    assert read_profile(path).name == path.stem


def test_all_mistakes_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(
        'name = "one"\nzone = "Mars/Olympus"\nsurprise = 1\n[metrics]\n'
        '"a" = { metric = "happiness" }\n"b" = { metric = "air_temperature", unit = "furlong" }\n'
    )
    (tmp_path / "two.toml").write_text("name = ")
    with pytest.raises(UserError) as error:
        load_profiles(["one", "two", "three"], tmp_path)
    message = str(error.value)
    for part in ("Mars/Olympus", "surprise", "metrics.a", "happiness", "metrics.b", "furlong", "two.toml", "'three'"):
        assert part in message


def test_a_file_in_the_own_folder_wins_over_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "canonical.toml").write_text('name = "canonical"\ndescription = "ours"\n')
    assert load_profiles(["canonical"], tmp_path)["canonical"].description == "ours"
    assert load_profiles(["lorawan"], tmp_path)["lorawan"].name == "lorawan"


def test_names_match_exactly_then_without_case_then_by_pattern_then_by_last_part() -> None:
    profile = DeviceProfile.model_validate(
        {
            "name": "p",
            "last_part": True,
            "metrics": {
                "NO": {"metric": "no"},
                "no": {"metric": "door_open"},
                "temp_*": {"metric": "temperature"},
                "humidity": {"metric": "relative_humidity"},
            },
        }
    )

    def metric(name: str) -> str | None:
        rule = profile.rule_of(name, None)
        return rule.metric if rule is not None and not isinstance(rule, str) else rule

    assert metric("NO") == "no"
    assert metric("no") == "door_open"
    assert metric("TEMP_3") == "temperature"
    assert metric("air.indoor.Humidity") == "relative_humidity"
    assert metric("rain") is None


def test_a_reading_without_a_name_is_told_by_its_unit() -> None:
    canonical = load_profiles(["canonical"])["canonical"]
    rule = canonical.rule_of(None, "%RH")
    assert rule is not None
    assert not isinstance(rule, str)
    assert rule.metric == "relative_humidity"
    assert canonical.rule_of(None, "lat") == "ignore"
    assert canonical.rule_of(None, "parsec") is None


def test_zones_are_names_or_offsets() -> None:
    assert parse_zone("+07:00").utcoffset(None) is not None
    for wrong in ("7", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="zone"):
            parse_zone(wrong)


def test_the_device_prefix_is_stripped_but_never_to_nothing() -> None:
    canonical = load_profiles(["canonical"])["canonical"]
    assert canonical.device_id("urn:dev:city:lamp-7") == "lamp-7"
    assert canonical.device_id("urn:dev:city:") == "urn:dev:city:"
    assert canonical.device_id("urn:dev:ow:1") == "urn:dev:ow:1"
