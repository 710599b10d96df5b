"""The real day of the demo: 28 Ghent weather stations, measured in September 2022, out of the wheel of PyPI's metobs-toolkit.

The wheel is fetched by pip at a pinned version and hash; only its data is taken, none of its code is run. Units are those of the
package's template (degrees Celsius, percent, km/h) and of the file's own magnitudes (pressure in Pa).
"""

import csv
import io
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.local.bootstrap import pip_command, run_pip
from deploy.local.cache_entry import cached
from deploy.local.progress import step
from deploy.local.trouble import Trouble

PACKAGE = "metobs-toolkit==1.1.1"
SHA256 = "55251f3d56d561c429dae7b3032e0d64bf736f3bc8f6bd63cf018b2a6f076c78"
READINGS, STATIONS = "demo_datafile.csv", "demo_metadatafile.csv"
INTERVAL_S = 300
COLUMNS = {
    "Temperatuur": "air_temperature:Cel",
    "Vochtigheid": "relative_humidity:%",
    "Luchtdruk": "air_pressure:Pa",
    "Luchtdruk_Zeeniveau": "sea_level_pressure:Pa",
    "Neerslagintensiteit": "precipitation_rate:mm/h",
    "Neerslagsom": "precipitation_total:mm",  # since midnight UTC: a counter that starts again each day
    "Windrichting": "wind_direction:deg",
    "Windsnelheid": "wind_speed:km/h",
    "Rukwind": "wind_gust:km/h",
    "Globe Temperatuur": "globe_temperature:Cel",
}
EARLIEST_END = datetime(2022, 9, 5, tzinfo=UTC)
"""The replayed day ends in the week from here: after the network's outage of 2 and 3 September, with days left to go on live."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RealDay:
    """Where the recording is, how far its clock is moved, and which day it is that ends now."""

    readings: Path
    stations: Path
    shift: timedelta
    ends: datetime


def provide() -> Path:
    """The folder of the two files, fetched where it is absent.

    Raises:
        Trouble: the package cannot be had.
    """
    return cached("ghent-weather", f"{PACKAGE} {SHA256}", lambda folder, _: _fetch(folder))


def _fetch(folder: Path) -> None:
    with step(f"real weather: data of {PACKAGE}"), tempfile.TemporaryDirectory(prefix="citynerve-wheel-") as work:
        wanted = Path(work) / "wanted.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        options = [
            "--require-hashes",
            "--no-deps",
            "--only-binary=:all:",
            "--ignore-requires-python",
            "-r",
            str(wanted),
        ]
        run_pip(pip_command(Path(sys.prefix)), ["download", *options, "-d", work], PACKAGE)
        wheel = next(Path(work).glob("metobs_toolkit-*.whl"), None)
        if wheel is None:
            msg = f"pip brought no wheel of {PACKAGE}"
            raise Trouble(msg)
        with zipfile.ZipFile(wheel) as archive:
            for name in (READINGS, STATIONS):
                (folder / name).write_bytes(archive.read(f"metobs_toolkit/datafiles/{name}"))


def real_day(folder: Path, now: datetime) -> RealDay:
    """Shift the recording by whole weeks, so that a day of it ends now at the same hour of the same weekday."""
    shift = (now - EARLIEST_END) // _WEEK * _WEEK
    return RealDay(folder / READINGS, folder / STATIONS, shift, now - shift)


def replay_arguments(day: RealDay, save: Path) -> list[str]:
    """Arguments of `citynerve` that write the recording's specification for `simulate city --with`."""
    maps = [part for column, target in COLUMNS.items() for part in ("--map", f"{column}={target}")]
    return [
        "simulate", "replay", "--csv", str(day.readings), "--delimiter", ";", "--device-column", "Vlinder", "--time", "Datum",
        "--time", "Tijd (UTC)", *maps, "--shift", str(int(day.shift.total_seconds())), "--save", str(save),
    ]  # fmt: skip


def devices_csv(stations: Path) -> str:
    """The stations as rows (without a head) of a file that `citynerve devices import` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with stations.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = f"{row['benaming']}, {row['stad']}"
            writer.writerow([row["Vlinder"], name, "weather", row["stad"], row["lat"], row["lon"], INTERVAL_S])
    return text.getvalue()
