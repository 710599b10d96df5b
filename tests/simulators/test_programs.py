"""The simulators' programs: what is refused before they connect anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.contract.operating import UserError
from simulators.programs import CityOptions, run_city, write_devices


def options(*, topic_root: str = "", id_prefix: str = "") -> CityOptions:
    return CityOptions(
        speed=1.0, ledger=None, rate=None, topic_root=topic_root, as_json=False,
        devices=5, seed=1, from_s=0, for_s=1.0, faults=1.0, id_prefix=id_prefix, beside=(),
    )  # fmt: skip


@pytest.mark.parametrize("root", ["test1", "test/#/", "+/", "a\n/"])
def test_a_topic_root_that_begins_no_topic_is_refused(root: str) -> None:
    with pytest.raises(UserError, match="begins no MQTT topic: it ends in /"):
        run_city(options(topic_root=root))


@pytest.mark.parametrize("prefix", ["east side-", "a/", "a:"])
def test_a_prefix_that_begins_no_device_id_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UserError, match="cannot begin a device id"):
        run_city(options(id_prefix=prefix))
    with pytest.raises(UserError, match="cannot begin a device id"):
        write_devices(tmp_path / "d.csv", 5, 1, prefix)
    assert not (tmp_path / "d.csv").exists()
