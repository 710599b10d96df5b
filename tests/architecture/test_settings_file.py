"""citynerve.toml documents every setting of every section with its real default, and sets none of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from control_center.settings import ControlSettings
from deploy.local.ports import Ports, default_ports
from ingest.contract.broker import KafkaSettings, MqttSettings
from ingest.contract.operating import SECTIONS, load_sections
from ingest.settings import IngestSettings
from processors.contract.database import CitySettings, DatabaseSettings
from processors.settings import ProcessorSettings
from simulators.settings import SimulatorSettings
from tests.architecture.tree import python_files, text

FILE = Path("citynerve.toml")
MODELS: Mapping[str, type[BaseModel]] = {
    "city": CitySettings, "mqtt": MqttSettings, "kafka": KafkaSettings, "database": DatabaseSettings, "ingest": IngestSettings,
    "processors": ProcessorSettings, "control": ControlSettings, "local": Ports, "simulators": SimulatorSettings,
}  # fmt: skip


def documented() -> dict[str, dict[str, Any]]:
    """The file with every setting switched on: `#name = value`, and the lines of a list that spans several."""
    lines = [line[1:] if re.match(r"#(\w+ = |  \{|\])", line) else line for line in text(FILE).splitlines()]
    return tomllib.loads("\n".join(lines))


def default(model: type[BaseModel], name: str) -> Any:
    """The default of a field as a settings file would write it; PydanticUndefined where it is computed or has none."""
    field = model.model_fields[name]
    if model is Ports:
        return default_ports("demo")[name]
    if field.default is None or field.default_factory is not None:
        return PydanticUndefined
    if isinstance(field.default, SecretStr):
        return field.default.get_secret_value()
    return model.model_construct(**{name: field.default}).model_dump(mode="json", include={name})[name]


def test_as_shipped_the_file_sets_nothing() -> None:
    assert tomllib.loads(text(FILE)) == {section: {} for section in MODELS}
    assert load_sections({name: model for name, model in MODELS.items() if model is not Ports}, FILE, {})


def test_every_section_of_the_program_is_in_the_file() -> None:
    asked = {
        name
        for path in python_files()
        for name in re.findall(r'load_sections?\(\s*\{?\s*"(\w+)"', text(path))
        if path.parts[0] != "tests"
    }
    assert asked
    assert asked <= set(MODELS)
    assert list(documented()) == list(MODELS) == list(SECTIONS)


@pytest.mark.parametrize("section", MODELS)
def test_the_file_names_exactly_the_settings_there_are(section: str) -> None:
    assert set(documented()[section]) == set(MODELS[section].model_fields)


@pytest.mark.parametrize("section", MODELS)
def test_the_file_tells_the_real_defaults(section: str) -> None:
    model = MODELS[section]
    for name, said in documented()[section].items():
        real = default(model, name)
        if real is not PydanticUndefined:
            assert said == real, f"[{section}] {name}"
            assert type(said) is type(real), f"[{section}] {name}"


@pytest.mark.parametrize("section", MODELS)
def test_switched_on_the_whole_section_is_valid(section: str) -> None:
    assert MODELS[section].model_validate(documented()[section])


def test_what_is_not_set_by_default_is_said_so() -> None:
    for section, model in MODELS.items():
        for name in model.model_fields:
            line = next(line for line in _section(section) if line.startswith(f"#{name} "))
            computed = default(model, name) is PydanticUndefined
            assert ("not set by default" in line or "by default this" in line) == computed, f"[{section}] {name}"


def _section(name: str) -> list[str]:
    found = re.search(rf"^\[{name}\].*?\n(.*?)(?=^\[|\Z)", text(FILE), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].splitlines()
