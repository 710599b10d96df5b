"""The dashboard files: made by the code, complete in both languages, and wired to the provisioned data sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import build
from deploy.grafana.words import WORDS
from tests.ops.grafana import NAMES, load, panels, queries

DEPLOY = Path(__file__).parents[2] / "deploy"
COLUMNS_OF_A_GRID = 24


def test_the_files_are_what_the_code_makes() -> None:
    assert build.stale() == [], "run: python -m deploy.grafana.build"
    assert sorted(path.name for path in build.FOLDER.iterdir()) == sorted(NAMES)


def test_a_changed_file_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    edited = (tmp_path / "platform.json").read_text(encoding="utf-8").replace("Platform", "Plattform")
    (tmp_path / "platform.json").write_text(edited, encoding="utf-8")
    assert build.main(["--check"]) == 1
    assert "platform.json is not what the code makes" in capsys.readouterr().err
    assert build.main(["--wrong"]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_well_formed(name: str) -> None:
    board = load(name)
    assert board["schemaVersion"] == 42
    assert board["uid"].startswith("citynerve-")
    drawn = list(panels(board))
    assert len({panel["id"] for panel in drawn}) == len(drawn)
    for panel in drawn:
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= COLUMNS_OF_A_GRID, panel["title"]
    cells = [
        (p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy)
        for p in drawn
        for dx in range(p["gridPos"]["w"])
        for dy in range(p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"


@pytest.mark.parametrize("name", NAMES)
def test_every_query_goes_to_a_provisioned_data_source(name: str) -> None:
    document = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/citynerve.yml").read_text(encoding="utf-8"))
    provisioned = {source["uid"]: source["type"] for source in document["datasources"]}
    board = load(name)
    used = [target["datasource"] for panel in panels(board) for target in panel["targets"]]
    used += [variable["datasource"] for variable in board["templating"].get("list", []) if "datasource" in variable]
    assert used
    assert {(source["uid"], source["type"]) for source in used} <= set(provisioned.items())


def test_the_operators_read_the_same_dashboard_in_both_languages() -> None:
    english, vietnamese = load("operators-en.json"), load("operators-vi.json")
    assert [_shape(panel) for panel in panels(english)] == [_shape(panel) for panel in panels(vietnamese)]
    assert english["uid"] != vietnamese["uid"]
    for one, other in zip(panels(english), panels(vietnamese), strict=True):
        assert one["title"] != other["title"]
        assert one["description"] != other["description"]


def test_every_word_is_translated_and_used() -> None:
    texts = json.dumps([load(name) for name in NAMES], ensure_ascii=False)
    for key, (english, vietnamese) in WORDS.items():
        assert english, key
        assert vietnamese, key
        assert english != vietnamese, key
        assert json.dumps(vietnamese, ensure_ascii=False)[1:-1] in texts, f"{key} is in no dashboard"


def test_links_lead_to_dashboards_that_exist() -> None:
    uids = {load(name)["uid"] for name in NAMES}
    for name in NAMES:
        assert {link["url"].removeprefix("/d/") for link in load(name)["links"]} <= uids


def test_the_operators_board_covers_what_a_control_room_watches() -> None:
    types = [panel["type"] for panel in panels(load("operators-en.json"))]
    assert types.count("geomap") == 1
    assert types.count("table") == 3
    asked = " ".join(query.text for query in queries("operators-en.json"))
    for metric in ("pm2_5", "laeq", "traffic_count", "water_level"):
        assert f"'{metric}'" in asked


def _shape(panel: dict[str, Any]) -> tuple[str, dict[str, int], list[str]]:
    return panel["type"], panel["gridPos"], [target["refId"] for target in panel["targets"]]
