"""The settings of all our services, read before a server starts or data is removed."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from control_center.settings import ControlSettings
from ingest.contract.broker import KafkaSettings, MqttSettings
from ingest.contract.operating import load_sections
from ingest.settings import IngestSettings
from processors.contract.database import CitySettings, DatabaseSettings
from processors.settings import ProcessorSettings
from simulators.settings import SimulatorSettings

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "city": CitySettings, "mqtt": MqttSettings, "kafka": KafkaSettings, "database": DatabaseSettings, "ingest": IngestSettings,
    "processors": ProcessorSettings, "control": ControlSettings, "simulators": SimulatorSettings,
}  # fmt: skip


def check_settings(config: Path | None) -> None:
    """Read them all; raises UserError with every mistake in one message."""
    load_sections(_SECTIONS, config)
