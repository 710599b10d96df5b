"""What is in the month's city beside readings and windows: devices, alarms, dead letters, the ledger's lives, audits. By SQL alone."""

from __future__ import annotations

import tomllib
from datetime import datetime
from typing import TypeAlias

import asyncpg

from processors.contract.rules import Rule
from tests.benchmarks.month_rows import KINDS, QUARTER_S

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ALARMS = 50_000
OPEN_ALARMS = 200
LETTERS = 100_000
GATEWAYS = 20
LIVES_A_DAY = 5
"""Of each gateway: 3,000 lives in a month, each with a row a partition."""
DAYS = 30
TOPIC = "{prefix}.readings.v1"

_DEVICES = """
INSERT INTO city.devices (device, name, kind, district, latitude, longitude)
SELECT 'dev-' || lpad(n::text, 5, '0'), 'Station ' || n, ($2::text[])[n % 4 + 1], 'District ' || n / 4 % 24,
       16 + n % 100 * 0.002, 108 + n / 100 * 0.002
FROM generate_series(0, $1::int - 1) n ORDER BY n"""

_SERIES = """
INSERT INTO city.series (device_id, metric, unit, mean_kind, interval_s, partition)
SELECT d.device_id, ($1::text[])[n % 4 + 1], ($2::text[])[n % 4 + 1], ($3::int[])[n % 4 + 1], $4, n / 4 % 4
FROM (SELECT device_id, row_number() OVER (ORDER BY device_id)::int - 1 AS n FROM city.devices) d ORDER BY device_id"""

_RULE_IDS = [f"rule-{number}" for number in range(10)]
_RULE = """
[[rule]]
rule_id = "{0}"
kind = "threshold"
metric = "pm2_5"
raise_at = 80.0
for_s = 120
title_en = "Fine dust is high ({0})"
title_vi = "Bụi mịn cao ({0})"
"""
RULES_FILE = "".join(_RULE.format(rule_id) for rule_id in _RULE_IDS)
"""The rules the alarms come from: without them the control center would clear them as those of rules that are gone."""
_RULES = "INSERT INTO city.rules (rule_id, body) SELECT * FROM unnest($1::text[], $2::jsonb[])"

_ALARMS = """
INSERT INTO city.alarms (rule_id, subject, device, metric, severity, state, raised_at, raised_value, raised_detail, notified, cleared_at)
SELECT 'rule-' || n % 10, 'series:' || s.series_id, d.device, s.metric, (ARRAY['critical', 'warning', 'info'])[n % 3 + 1],
       CASE WHEN n >= $2 - $3 THEN 'raised' ELSE 'cleared' END, $1::timestamptz - ($2 - n) * interval '30 days' / $2, 90,
       '{"threshold": 80, "column": "mean", "held_for_s": 120}', CASE WHEN n >= $2 - $3 THEN 'firing' ELSE 'resolved' END,
       CASE WHEN n < $2 - $3 THEN $1::timestamptz - ($2 - n) * interval '30 days' / $2 + interval '20 minutes' END
FROM generate_series(0, $2::int - 1) n
JOIN city.series s ON s.series_id = (SELECT min(series_id) FROM city.series) + n % (SELECT count(*) FROM city.series)
JOIN city.devices d USING (device_id) ORDER BY n"""

_EVENTS = """
INSERT INTO city.alarm_events (alarm_id, at, event, published_at)
SELECT a.alarm_id, e.at, e.event, e.at
FROM city.alarms a CROSS JOIN LATERAL (VALUES ('raised', a.raised_at), ('notified', a.raised_at), ('cleared', a.cleared_at)) e(event, at)
WHERE e.at IS NOT NULL ORDER BY e.at"""

_LETTERS = """
INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, payload, readings)
SELECT 'gw-' || n % $3, 1, n % 4, n, 0, $1::timestamptz - ($2 - n) * interval '30 days' / $2,
       (ARRAY['bad_json', 'unknown_metric', 'out_of_range', 'in_future', 'too_old'])[n % 5 + 1],
       '"dev-' || lpad((n % 500)::text, 5, '0') || '" at '
           || ((extract(epoch FROM $1::timestamptz - ($2 - n) * interval '30 days' / $2)
                + CASE WHEN n % 5 = 3 THEN 90000 ELSE -4e7 END) * 1e6)::bigint
           || ' us is refused',
       'city/dev-' || n % 500, convert_to(repeat('{"v": 1}', 20), 'utf8'), 1
FROM generate_series(0, $2::int - 1) n"""

_LEDGER = """
INSERT INTO city.ledger (gateway, epoch, topic, partition, next_seq, sent_before, n_in, n_stored, last_frame_at)
SELECT 'gw-' || g, extract(epoch FROM t)::bigint * 1000000, $2, p, 1000, 2400, 2400, 2400, t + interval '4 hours'
FROM generate_series(0, $3::int - 1) g
CROSS JOIN generate_series($1::timestamptz - interval '30 days', $1::timestamptz - interval '4 hours', interval '1 day' / $4) t
CROSS JOIN generate_series(0, 3) p"""

_STATEMENTS = """
INSERT INTO city.gateway_statements (gateway, epoch, at, received, refused, acked_kafka, spooled, messages, partitions)
SELECT gateway, epoch, max(last_frame_at), sum(n_in), 0, sum(n_in), 0, sum(n_in) / 20,
       jsonb_agg(jsonb_build_object('topic', topic, 'partition', partition, 'acked', n_in, 'offset', 100))
FROM city.ledger GROUP BY gateway, epoch"""

_OFFSETS = """
INSERT INTO city.offsets (topic, partition, owner, next_offset, watermark, closed_until, n_in, n_stored)
SELECT $1, p, gen_random_uuid(), 1000000, $2, $2, 7200000, 7200000 FROM generate_series(0, 3) p"""

_AUDITS = """
INSERT INTO city.ledger_audit (day, expected, found, at)
SELECT d::date, 960000, 960000, $1 FROM generate_series($1::timestamptz - interval '30 days', $1, interval '1 day') d"""


async def make_register(connection: Connection, series: int, newest: datetime, prefix: str) -> None:
    """Devices of one series each, and a month of alarms, dead letters and lives of gateways before `newest`."""
    kinds, metrics, units, means = (list(column) for column in zip(*KINDS, strict=True))
    topic = TOPIC.format(prefix=prefix)
    async with connection.transaction():
        await connection.execute(_DEVICES, series, kinds)
        await connection.execute(_SERIES, metrics, units, means, QUARTER_S)
        bodies = [Rule.model_validate(rule).model_dump_json() for rule in tomllib.loads(RULES_FILE)["rule"]]
        await connection.execute(_RULES, _RULE_IDS, bodies)
        await connection.execute(_ALARMS, newest, ALARMS, OPEN_ALARMS)
        await connection.execute(_EVENTS)
        await connection.execute(_LETTERS, newest, LETTERS, GATEWAYS)
        await connection.execute(_LEDGER, newest, topic, GATEWAYS, LIVES_A_DAY)
        await connection.execute(_STATEMENTS)
        await connection.execute(_OFFSETS, topic, newest)
        await connection.execute(_AUDITS, newest)
    await connection.execute("ANALYZE")
