"""A city made up for tests of the page: the exact shapes of the HTTP API, seeded, without any server behind it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Item = dict[str, Any]

XSS_NAMES = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    '"><svg onload=alert(3)>',
    "{{constructor.constructor('alert(4)')()}}",
)
DISTRICTS = {
    "Hải Châu": (108.220, 16.060),
    "Thanh Khê": (108.185, 16.066),
    "Sơn Trà": (108.245, 16.085),
    "Ngũ Hành Sơn": (108.255, 16.020),
    "Liên Chiểu": (108.145, 16.085),
    "Cẩm Lệ": (108.200, 16.015),
}
KINDS: dict[str, tuple[tuple[str, str, int, int, float, float], ...]] = {
    # metric, unit, mean_kind, interval_s, centre, swing
    "air_quality": (
        ("pm2_5", "ug/m3", 0, 60, 24, 12),
        ("no2", "ug/m3", 0, 60, 31, 15),
        ("relative_humidity", "%", 0, 60, 74, 10),
    ),
    "noise": (("laeq", "dB", 2, 60, 58, 9),),
    "traffic": (("traffic_count", "1", 0, 60, 26, 20), ("vehicle_speed", "km/h", 0, 60, 38, 9)),
    "water_level": (("water_level", "m", 0, 300, 1.4, 0.3), ("battery_voltage", "V", 0, 3600, 3.6, 0.05)),
    "street_light": (("active_power", "W", 0, 60, 80, 70), ("energy_total", "kWh", 3, 60, 1200, 40)),
    "weather": (("air_temperature", "Cel", 0, 300, 27, 4), ("wind_direction", "deg", 1, 300, 120, 60)),
}
HOPS = (
    ("devices", ""), ("broker", ""), ("gateway", "gw-1"), ("kafka", ""), ("processor", "processor-1"), ("database", ""),
)  # fmt: skip
RULES: dict[str, tuple[str, str, str, str]] = {
    "pm25-high": ("Fine dust is high", "Bụi mịn cao", "Warn schools near the device and check for fires upwind.",
                  "Báo các trường gần thiết bị và kiểm tra đám cháy đầu hướng gió."),
    "water-high": ("Water level is critical", "Mực nước nguy hiểm", "Close the underpass and send the pump team.",
                   "Đóng hầm chui và điều đội bơm."),
    "noise-high": ("Noise above the night limit", "Tiếng ồn vượt ngưỡng ban đêm", "", ""),
    "silent": ("Device is silent", "Thiết bị im lặng", "Check the power and the gateway of the cabinet.",
               "Kiểm tra nguồn điện và cổng của tủ."),
}  # fmt: skip


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(UTC)


def signal(device: str, metric: str, at_s: float) -> float:
    """The value of a series at a moment: a daily curve and repeatable noise."""
    spec = next(spec for metrics in KINDS.values() for spec in metrics if spec[0] == metric)
    _, _, mean_kind, interval_s, centre, swing = spec
    phase = random.Random(device).random() * 2
    if mean_kind == 3:
        return round(centre + (at_s % 1e6) / 1e4 + phase, 3)
    noise = random.Random(f"{device}{metric}{int(at_s // interval_s)}").gauss(0, 0.18)
    return round(centre + swing * (0.6 * math.sin(at_s / 86400 * 2 * math.pi + phase) + noise), 3)


@dataclass
class MockCity:
    """State of the made-up city; tests change it through the methods of mock_api."""

    devices: list[Item] = field(default_factory=list)
    series: list[Item] = field(default_factory=list)
    alarms: dict[int, Item] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    unaccounted: int = 0
    age: timedelta = timedelta(0)
    catch_up_speed: float = 0.0
    pinned: dict[str, float] = field(default_factory=dict)
    database_age: timedelta = timedelta(0)
    audit: Item = field(
        default_factory=lambda: {
            "days": 3, "expected": 900, "found": 800, "removed": 100, "missing": 0, "doubled": 0, "oldest": iso(now()),
            "newest": iso(now()),
        }
    )  # fmt: skip
    dead_letter_reasons: list[Item] = field(
        default_factory=lambda: [
            {
                "reason": "unknown_metric", "letters": 12, "readings": 31, "waiting": 11, "newest_id": 17, "newest_received": iso(now()),
                "newest_gateway": "gw-1", "newest_topic": "city/senml/air-7", "newest_detail": "no metric is called <b>pm99</b>",
            }
        ]
    )  # fmt: skip
    wrong_clocks: list[Item] = field(default_factory=list)
    gaps: list[Item] = field(default_factory=list)
    flow: Item = field(default_factory=dict)
    """What differs from a good day in the answer to /api/v1/flow; hops by part."""
    started: datetime = field(default_factory=now)

    @classmethod
    def seeded(cls, per_district: int = 90, seed: int = 7) -> MockCity:
        city = cls()
        rng = random.Random(seed)
        kinds = (
            ["air_quality"] * 3
            + ["noise"] * 3
            + ["traffic"] * 4
            + ["water_level"] * 2
            + ["street_light"] * 7
            + ["weather"]
        )
        for district, (longitude, latitude) in DISTRICTS.items():
            for number in range(per_district):
                kind = rng.choice(kinds)
                city.add_device(
                    f"{kind}-{len(city.devices):04d}", f"{district} {kind.replace('_', ' ')} {number:02d}", kind, district,
                    at=(longitude + rng.gauss(0, 0.009), latitude + rng.gauss(0, 0.007)),
                )  # fmt: skip
        for index, name in enumerate(XSS_NAMES):
            city.add_device(f"hostile-{index}", name, "air_quality", name, at=(108.22 + index * 0.004, 16.05))
        city.add_device("nowhere-1", "Trạm chưa lắp đặt", "weather", "", at=None)
        city.silent = {device["device"] for device in city.devices[5::41]}
        return city

    def add_device(self, device: str, name: str, kind: str, district: str, *, at: tuple[float, float] | None) -> None:
        longitude, latitude = at or (None, None)
        self.devices.append(
            {"device": device, "name": name, "kind": kind, "district": district, "latitude": latitude,
             "longitude": longitude, "expected_interval_s": None, "created_at": iso(self.started)}
        )  # fmt: skip
        for metric, unit, mean_kind, interval_s, _, _ in KINDS[kind]:
            self.series.append(
                {"series_id": len(self.series) + 1, "device": device, "metric": metric, "unit": unit,
                 "mean_kind": mean_kind, "interval_s": interval_s}
            )  # fmt: skip

    def device_of_kind(self, kind: str, index: int = 0) -> Item:
        return [device for device in self.devices if device["kind"] == kind and device["district"] in DISTRICTS][index]

    def raise_alarm(self, device: str, rule: str, severity: str, **more: Any) -> Item:
        known = next(one for one in self.devices if one["device"] == device)
        title_en, title_vi, advice_en, advice_vi = RULES[rule]
        alarm: Item = {
            "alarm_id": len(self.alarms) + 1, "rule_id": rule, "title_en": title_en, "title_vi": title_vi,
            "advice_en": advice_en, "advice_vi": advice_vi, "device": device, "name": known["name"],
            "metric": None, "unit": None, "severity": severity, "state": "raised", "raised_at": iso(now()),
            "raised_value": None, "detail": {}, "acknowledged_at": None, "acknowledged_by": None, "cleared_at": None,
            "cleared_value": None, "latitude": known["latitude"], "longitude": known["longitude"],
            "gateway": "gw-1",
        } | more  # fmt: skip
        self.alarms[alarm["alarm_id"]] = alarm
        return alarm

    def seed_alarms(self) -> None:
        """A believable shift: open, acknowledged and cleared ones of each severity."""
        ago = now() - timedelta(minutes=1)
        pm = {"metric": "pm2_5", "unit": "ug/m3", "detail": {"threshold": 55, "column": "mean", "source": "15m"}}
        water = {"metric": "water_level", "unit": "m", "detail": {"threshold": 1.6, "column": "max", "source": "1m"}}
        noise = {"metric": "laeq", "unit": "dB", "detail": {"threshold": 70, "column": "special", "source": "15m"}}
        self.raise_alarm(self.device_of_kind("noise")["device"], "noise-high", "info", raised_value=71.4, **noise,
                         state="cleared", raised_at=iso(ago - timedelta(hours=3)), cleared_value=64.2,
                         acknowledged_by="Lan", acknowledged_at=iso(ago - timedelta(hours=2.8)),
                         cleared_at=iso(ago - timedelta(hours=2.5)))  # fmt: skip
        self.raise_alarm(sorted(self.silent)[3], "silent", "warning", raised_at=iso(ago - timedelta(minutes=48)),
                         raised_value=180.0, detail={"last_reading": iso(ago - timedelta(minutes=51)), "held_s": 0.0,
                                                     "expected_interval_s": 60.0, "missed_intervals": 3.0})  # fmt: skip
        self.raise_alarm(self.device_of_kind("air_quality", 4)["device"], "pm25-high", "warning", raised_value=61.7, **pm,
                         raised_at=iso(ago - timedelta(minutes=31)), state="acknowledged", acknowledged_by="Nguyễn Thị Lan",
                         acknowledged_at=iso(ago - timedelta(minutes=27)))  # fmt: skip
        self.raise_alarm(self.device_of_kind("noise", 7)["device"], "noise-high", "info", raised_value=72.3, **noise,
                         raised_at=iso(ago - timedelta(minutes=12)))  # fmt: skip
        self.raise_alarm("hostile-0", "pm25-high", "warning", raised_value=58.1, **pm,
                         raised_at=iso(ago - timedelta(minutes=6)))  # fmt: skip
        self.raise_alarm(self.device_of_kind("water_level", 2)["device"], "water-high", "critical", raised_value=1.82, **water,
                         raised_at=iso(ago))  # fmt: skip

    def alarm_item(self, alarm: Item, language: str) -> Item:
        hidden = {"title_en", "title_vi", "advice_en", "advice_vi"}
        words = {"title": alarm[f"title_{language}"], "advice": alarm[f"advice_{language}"]}
        return {key: value for key, value in alarm.items() if key not in hidden} | words

    def live_items(self, share: float = 1.0) -> list[Item]:
        at = now() - self.age
        items = []
        for one in self.series:
            if random.random() > share and one["device"] not in self.pinned:
                continue
            age = (
                timedelta(hours=1, minutes=20)
                if one["device"] in self.silent
                else timedelta(seconds=random.random() * 3)
            )
            time = at - age
            items.append({"device": one["device"], "metric": one["metric"], "time": iso(time),
                          "value": self.value(one["device"], one["metric"], time)})  # fmt: skip
        return items

    def value(self, device: str, metric: str, time: datetime) -> float:
        return self.pinned.get(device, signal(device, metric, time.timestamp()))

    def catch_up(self, wall_s: float) -> None:
        """Lets a backlog shrink as `catch_up_speed` seconds of event time a second."""
        self.age = max(timedelta(0), self.age - timedelta(seconds=wall_s * self.catch_up_speed))

    def totals(self) -> Item:
        seconds = (now() - self.started).total_seconds() + 7200
        stored = int(seconds * 171)
        parts = {
            "stored": stored,
            "duplicate": stored // 90,
            "dead_letter": stored // 700,
            "refused": 12,
            "in_flight": 341,
        }
        return parts | {
            "received": sum(parts.values()) + self.unaccounted,
            "unaccounted": self.unaccounted,
            "redelivered": 4096,
        }

    def status(self) -> Item:
        jitter = random.uniform(0.9, 1.1)
        return {
            "lag_s": round(0.4 * jitter, 2), "watermark": iso(now() - self.age - timedelta(seconds=2)),
            "readings_per_s": 173.2 * jitter, "stored_per_s": 171.0 * jitter, "rejected_per_s": 0.0,
            "duplicate_per_s": 1.9 * jitter, "in_flight": 341, "unaccounted": self.unaccounted,
            "active_alarms": sum(alarm["state"] != "cleared" for alarm in self.alarms.values()), "spooled": 0,
            "devices": len(self.devices), "stale_devices": len(self.silent),
            "sampled_at": iso(now() - self.database_age), "behind_s": self.flow.get("behind_s"), "left_s": self.flow.get("left_s"),
        }  # fmt: skip

    def flow_item(self) -> Item:
        """Who waits for whom: everybody for nobody, but for what a test has set in `flow`."""
        changed = self.flow.get("hops", {})
        hops = [
            {
                "part": part, "name": name, "state": "fine", "waits_for": None, "age_s": None, "lag_s": None, "queue_bytes": None,
                "queue_limit_bytes": None, "hours_left": None, "text": f"{part} {name} is fine.",
            } | changed.get(part, {})
            for part, name in HOPS
        ]  # fmt: skip
        known = {"mood": "live", "headline": "Live", "behind_s": None, "left_s": None} | self.flow
        return known | {"time": iso(now()), "hops": hops}
