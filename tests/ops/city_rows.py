"""A small city in the tables, written by SQL alone: what the dashboards' queries are tried on."""

from __future__ import annotations

import math

import asyncpg

from processors.fleet import sum_marked

QUIET_DEVICE = "noise-0002"
"""Known, with a series, silent for 40 minutes."""
HARBOUR = "Old Harbour's"
"""A district whose name holds a quote."""

_DEVICES = (
    # device, kind, district, latitude, longitude, metric, unit, mean_kind, interval_s
    ("air-0001", "air_quality", "Centre", 51.05, 3.73, "pm2_5", "ug/m3", 0, 60),
    ("air-0002", "air_quality", HARBOUR, 51.06, 3.74, "pm2_5", "ug/m3", 0, 60),
    ("noise-0001", "noise", "Centre", 51.05, 3.72, "laeq", "dB", 2, 60),
    (QUIET_DEVICE, "noise", "Centre", 51.051, 3.721, "laeq", "dB", 2, 60),
    ("traffic-0001", "traffic", "Centre", 51.04, 3.73, "traffic_count", "1", 0, 60),
    ("water-0001", "water_level", "", 51.03, 3.71, "water_level", "m", 0, 300),
    ("light-0001", "street_light", "Centre", None, None, "battery_voltage", "V", 0, 3600),
)
_VALUE = {
    "air-0001": 10.0,
    "air-0002": 30.0,
    "noise-0001": 50.0,
    QUIET_DEVICE: 70.0,
    "traffic-0001": 12.0,
    "water-0001": 4.5,
    "light-0001": 3.3,
}
ENERGETIC_MEAN_OF_NOISE = 10 * math.log10((10**5.0 + 10**7.0) / 2)

_READINGS = """
INSERT INTO city.readings (series_id, time, value)
SELECT $1, t, $2 FROM generate_series(now() - interval '3 hours', now() - make_interval(mins => $4), make_interval(secs => $3)) t"""

_WINDOWS = """
INSERT INTO city.windows_{size} (series_id, start, count, mean, min, max, std, first, last, p50, p95, p99,
                                 special, expected, valid, late, flagged, first_time, last_time, sketch)
SELECT $1, b, count(*), avg(value), min(value), max(value), 0, $2, $2, $2, $2, $2, $3,
       greatest(1, floor(extract(epoch FROM interval '{width}') / $4)::int), count(*), 0, 0, min(time), max(time), ''
FROM (SELECT time_bucket(interval '{width}', time) AS b, time, value FROM city.readings WHERE series_id = $1) r GROUP BY b"""

_REST = """
INSERT INTO city.rules (rule_id, body) VALUES ('pm25-high',
    '{"kind": "threshold", "severity": "critical", "metric": "pm2_5", "title_en": "Fine dust is high", "title_vi": "Bụi mịn cao",
      "advice_en": "Warn schools.", "advice_vi": "Báo cho trường học."}');
INSERT INTO city.alarms (rule_id, subject, device, metric, severity, state, raised_at, raised_value, cleared_at) VALUES
    ('pm25-high', 'series:2', 'air-0002', 'pm2_5', 'critical', 'raised', now() - interval '20 minutes', 91.5, NULL),
    ('gone', 'device:4', 'noise-0002', NULL, 'warning', 'acknowledged', now() - interval '30 minutes', NULL, NULL),
    ('pm25-high', 'series:1', 'air-0001', 'pm2_5', 'critical', 'cleared', now() - interval '2 hours', 88, now() - interval '1 hour');
INSERT INTO city.ledger (gateway, epoch, topic, partition, next_seq, sent_before, n_in, n_stored) VALUES
    ('gw-1', 1763900000000000, 'city.readings.v1', 0, 10, 1000, 1000, 1000);
INSERT INTO city.gateway_statements (gateway, epoch, at, received, refused, acked_kafka, spooled, messages) VALUES
    ('gw-1', 1763900000000000, now(), 1000, 0, 1000, 0, 60);
"""


async def fill(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Write the city: three hours up to now, except for the quiet device, and the fleet's sums as the processors would make them."""
    await write(connection)
    await connection.execute("INSERT INTO city.fleet_marks (first) VALUES (now() - interval '1 day')")
    assert await sum_marked(connection, 1000) is not None


async def write(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """The rows alone."""
    for device, kind, district, latitude, longitude, metric, unit, mean_kind, interval_s in _DEVICES:
        series_id = await connection.fetchval(
            """WITH d AS (INSERT INTO city.devices (device, name, kind, district, latitude, longitude)
                          VALUES ($1, upper($1), $2, $3, $4, $5) RETURNING device_id)
               INSERT INTO city.series (device_id, metric, unit, mean_kind, interval_s, partition)
               SELECT device_id, $6, $7, $8, $9, 0 FROM d RETURNING series_id""",
            device, kind, district, latitude, longitude, metric, unit, mean_kind, interval_s,
        )  # fmt: skip
        value = _VALUE[device]
        await connection.execute(_READINGS, series_id, value, float(interval_s), 40 if device == QUIET_DEVICE else 0)
        special = value if mean_kind == 2 else None
        for size, width in (("1m", "1 minute"), ("15m", "15 minutes"), ("1h", "1 hour"), ("1d", "1 day")):
            await connection.execute(_WINDOWS.format(size=size, width=width), series_id, value, special, interval_s)
    await connection.execute(_REST)
