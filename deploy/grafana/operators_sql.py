"""SQL of the operators' dashboard. It reads the views of city_view only: the role it runs as may read nothing else."""

from __future__ import annotations

from deploy.grafana.words import Language, word

DISTRICTS = "SELECT DISTINCT coalesce(nullif(district, ''), '-') FROM city_view.devices UNION SELECT '-' ORDER BY 1"
"""Devices without a district count under '-', which is always there: an empty list would make `IN ()`."""
METRICS = "SELECT DISTINCT metric FROM city_view.series UNION SELECT 'pm2_5' ORDER BY 1"

_DISTRICT = "coalesce(nullif({0}.district, ''), '-')"
_HERE = _DISTRICT.format("s") + " IN (${district:sqlstring})"
_QUARTERS = "floor(900.0 / s.interval_s)"
"""Readings expected of a series in 15 minutes, as processors count them; slower series are left out by `_FAST`."""
_FAST = "s.interval_s <= 900"
_LAST_HOUR = "s.time > now() - interval '90 minutes' AND s.time <= now() - interval '30 minutes'"
"""The four 15-minute windows that closed last and surely."""


def open_alarms(*, critical_only: bool) -> str:
    """Number of open alarms."""
    return "SELECT count(*) AS value FROM city_view.alarms WHERE state <> 'cleared'" + (
        " AND severity = 'critical'" if critical_only else ""
    )


def alarms(language: Language) -> str:
    """Open alarms, worst and newest first."""
    names = {
        key: word(key, language) for key in ("severity", "state", "what", "district", "device", "name", "measured")
    }
    more = {key: word(key, language) for key in ("value", "unit", "since", "by", "advice")}
    return f"""
SELECT s.severity AS "{names["severity"]}", s.state AS "{names["state"]}", coalesce(r.title_{language}, s.rule_id) AS "{names["what"]}",
       coalesce(nullif(s.district, ''), '-') AS "{names["district"]}", s.device AS "{names["device"]}", s.name AS "{names["name"]}",
       s.metric AS "{names["measured"]}", s.raised_value AS "{more["value"]}", s.unit AS "{more["unit"]}", s.raised_at AS "{more["since"]}",
       s.acknowledged_by AS "{more["by"]}", r.advice_{language} AS "{more["advice"]}"
FROM city_view.alarms s LEFT JOIN city_view.rules r USING (rule_id)
WHERE s.state <> 'cleared' AND {_HERE}
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], s.severity), s.raised_at DESC
LIMIT 500"""


ALARM_HISTORY = """
SELECT $__timeGroupAlias(raised_at, '1h'), severity AS metric, count(*) AS value
FROM city_view.alarms WHERE $__timeFilter(raised_at) GROUP BY 1, 2 ORDER BY 1"""


def device_map(language: Language) -> str:
    """Every placed device that measures $metric, with its last 15 minutes."""
    return f"""
SELECT s.device AS "{word("device", language)}", s.name AS "{word("name", language)}", s.district AS "{word("district", language)}",
       s.latitude, s.longitude, sum(w.mean * w.count) / sum(w.count) AS "{word("value", language)}",
       max(w.max) AS "{word("highest", language)}", s.unit AS "{word("unit", language)}", max(w.time) AS "{word("newest", language)}"
FROM city_view.series s
LEFT JOIN city_view.windows_1m w ON w.series_id = s.series_id AND w.time > now() - interval '16 minutes'
WHERE s.metric = ${{metric:sqlstring}} AND s.latitude IS NOT NULL AND s.longitude IS NOT NULL AND {_HERE}
GROUP BY s.device, s.name, s.district, s.latitude, s.longitude, s.unit
ORDER BY 6 DESC NULLS LAST LIMIT 5000"""


_RANGE = "$__timeTo()::timestamptz - $__timeFrom()::timestamptz"
_INTERVAL = "interval '$__interval'"
_FLEET = "f.time, f.district, f.width_s, f.count, f.total, f.energy, f.max"
_MINUTES = f"'${{resolution}}' = '1m' AND {_INTERVAL} < interval '15 minutes' AND {_RANGE} <= interval '3 hours'"
_HOURS = f"'${{resolution}}' <> '1d' AND ('${{resolution}}' = '1h' OR {_INTERVAL} >= interval '1 hour')"
_DAYS = "'${resolution}' = '1d'"


def by_district(metric: str, number: str) -> str:
    """`number` (an aggregate over the sums f of one district and window) of one metric by district, over time.

    One of four sources is read, the others are empty by conditions the planner sees: sums of the whole fleet by quarter or hour; windows
    of a minute where they are asked for and the range is short enough for it; and local days, which no sum of UTC hours is.
    """
    district = _DISTRICT.format("f")
    return f"""
SELECT $__timeGroupAlias(f.time, $__interval), {district} AS metric, {number} AS value
FROM (
    SELECT time, district, max(width_s) AS width_s, sum(count) AS count, sum(total) AS total, sum(energy) AS energy, max(max) AS max
    FROM (
        SELECT {_FLEET} FROM city_view.fleet_1h f WHERE {_HOURS} AND $__timeFilter(f.time) AND f.metric = '{metric}'
        UNION ALL
        SELECT {_FLEET} FROM city_view.fleet_15m f
        WHERE NOT ({_HOURS} OR {_MINUTES} OR {_DAYS}) AND $__timeFilter(f.time) AND f.metric = '{metric}'
        UNION ALL
        {_from_windows("1m", 60, metric, _MINUTES)}
        UNION ALL
        {_from_windows("1d", 86_400, metric, _DAYS)}
    ) source GROUP BY time, district
) f
WHERE {district} IN (${{district:sqlstring}})
GROUP BY 1, 2 ORDER BY 1"""


def _from_windows(size: str, width_s: int, metric: str, condition: str) -> str:
    return f"""SELECT w.time, w.district, {width_s}, w.count, w.mean * w.count, w.count * power(10, w.special / 10), w.max
        FROM city_view.windows_{size} w WHERE {condition} AND $__timeFilter(w.time) AND w.metric = '{metric}'"""


MEAN = "sum(f.total) / sum(f.count)"
ENERGETIC_MEAN = "10 * log(sum(f.energy) / sum(f.count))"
VEHICLES_PER_HOUR = "sum(f.total) * 3600 / sum(f.width_s)"
HIGHEST = "max(f.max)"

COMPLETENESS_NOW = f"""
SELECT coalesce((SELECT sum(s.came) FROM city_view.fleet_15m s WHERE {_LAST_HOUR} AND {_HERE}), 0)
       / nullif((SELECT sum(4 * {_QUARTERS}) FROM city_view.series s WHERE {_FAST} AND {_HERE}), 0) AS value"""

_UNTIL = "least($__timeTo()::timestamptz, now() - interval '30 minutes')"
COMPLETENESS_TREND = f"""
WITH fleet AS (
    SELECT s.kind, sum({_QUARTERS}) AS expected FROM city_view.series s WHERE {_FAST} AND {_HERE} GROUP BY s.kind
), came AS (
    SELECT s.time, s.kind, s.came, 1 AS quarters FROM city_view.fleet_15m s
    WHERE {_INTERVAL} < interval '1 hour' AND $__timeFilter(s.time) AND s.time <= {_UNTIL} AND {_HERE}
    UNION ALL
    SELECT s.time, s.kind, s.came, 4 FROM city_view.fleet_1h s
    WHERE {_INTERVAL} >= interval '1 hour' AND $__timeFilter(s.time) AND s.time <= {_UNTIL} - interval '45 minutes' AND {_HERE}
), by_window AS (
    SELECT time, kind, sum(came) AS came, max(quarters) AS quarters FROM came GROUP BY 1, 2
), windows AS (
    SELECT k.kind, k.quarters, g.time
    FROM (SELECT kind, min(time) AS first, max(quarters) AS quarters FROM by_window GROUP BY 1) k
    CROSS JOIN LATERAL generate_series(
        k.first, {_UNTIL} - (k.quarters - 1) * interval '15 minutes', k.quarters * interval '15 minutes') g(time)
)
SELECT $__timeGroupAlias(g.time, $__interval), g.kind AS metric,
       coalesce(sum(w.came), 0) / (max(fleet.expected) * sum(g.quarters)) AS value
FROM windows g JOIN fleet ON fleet.kind = g.kind LEFT JOIN by_window w ON w.time = g.time AND w.kind = g.kind
GROUP BY 1, 2 ORDER BY 1"""
"""Of whole windows that closed surely: quarters, or hours where a point of the panel is an hour or more. From the first window of a kind
in the range on, a window without any reading of that kind counts as nothing of what was expected."""


def completeness(language: Language) -> str:
    """Completeness of the last hour by district and kind, the worst first."""
    return f"""
WITH arrived AS (
    SELECT s.district, s.kind, sum(s.came) AS came FROM city_view.fleet_15m s
    WHERE {_LAST_HOUR} AND {_HERE} GROUP BY 1, 2
), wanted AS (
    SELECT s.district, s.kind, count(DISTINCT s.device) AS devices, sum(4 * {_QUARTERS}) AS expected
    FROM city_view.series s WHERE {_FAST} AND {_HERE} GROUP BY 1, 2
)
SELECT coalesce(nullif(w.district, ''), '-') AS "{word("district", language)}", w.kind AS "{word("kind", language)}",
       w.devices AS "{word("devices", language)}", w.expected AS "{word("expected", language)}",
       coalesce(a.came, 0) AS "{word("came", language)}", coalesce(a.came, 0) / w.expected AS "{word("completeness", language)}"
FROM wanted w LEFT JOIN arrived a USING (district, kind)
ORDER BY 6, 1, 2"""


def stale(language: Language) -> str:
    """Devices that sent nothing for more than three of their intervals, as of now, whatever time range is chosen."""
    return f"""
SELECT s.device AS "{word("device", language)}", max(s.name) AS "{word("name", language)}", max(s.kind) AS "{word("kind", language)}",
       coalesce(nullif(max(s.district), ''), '-') AS "{word("district", language)}", max(s.time) AS "{word("newest", language)}",
       extract(epoch FROM now() - max(s.time))::double precision AS "{word("silent_for", language)}",
       min(s.interval_s) AS "{word("interval", language)}"
FROM city_view.newest_readings s
WHERE {_HERE}
GROUP BY s.device
HAVING max(s.time) IS NULL OR max(s.time) < now() - greatest(interval '5 minutes', 3 * min(s.interval_s) * interval '1 second')
ORDER BY max(s.time) NULLS FIRST LIMIT 500"""
