"""SQL of the operators' dashboard. It reads the views of city_view only: the role it runs as may read nothing else."""

from __future__ import annotations

from deploy.grafana.words import Language, word

DISTRICTS = "SELECT DISTINCT coalesce(nullif(district, ''), '-') FROM city_view.devices UNION SELECT '-' ORDER BY 1"
"""Devices without a district count under '-', which is always there: an empty list would make `IN ()`."""
METRICS = "SELECT DISTINCT metric FROM city_view.series UNION SELECT 'pm2_5' ORDER BY 1"

_HERE = "coalesce(nullif(s.district, ''), '-') IN (${district:sqlstring})"
_QUARTERS = "floor(900.0 / s.interval_s)"
"""Readings expected of a series in 15 minutes, as processors count them; slower series are left out by `_FAST`."""
_FAST = "s.interval_s <= 900"
_LAST_HOUR = "w.time > now() - interval '90 minutes' AND w.time <= now() - interval '30 minutes'"
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


def by_district(metric: str, number: str) -> str:
    """`number` (an aggregate over windows w) of one metric by district, over time."""
    return f"""
SELECT $__timeGroupAlias(w.time, $__interval), coalesce(nullif(s.district, ''), '-') AS metric, {number} AS value
FROM city_view.windows_${{resolution}} w JOIN city_view.series s USING (series_id)
WHERE $__timeFilter(w.time) AND s.metric = '{metric}' AND {_HERE}
GROUP BY 1, 2 ORDER BY 1"""


MEAN = "sum(w.mean * w.count) / sum(w.count)"
ENERGETIC_MEAN = "10 * log(sum(w.count * power(10, w.special / 10)) / sum(w.count))"
_WINDOW_S = "extract(epoch FROM interval '${resolution}')::double precision"
VEHICLES_PER_HOUR = f"sum(w.mean * w.count) * 3600 / (count(DISTINCT w.time) * {_WINDOW_S})"
HIGHEST = "max(w.max)"

COMPLETENESS_NOW = f"""
SELECT coalesce((SELECT sum(least(w.count, w.expected)) FROM city_view.windows_15m w JOIN city_view.series s USING (series_id)
                 WHERE {_LAST_HOUR} AND {_FAST} AND {_HERE}), 0)
       / nullif((SELECT sum(4 * {_QUARTERS}) FROM city_view.series s WHERE {_FAST} AND {_HERE}), 0) AS value"""

COMPLETENESS_TREND = f"""
WITH fleet AS (
    SELECT s.kind, sum({_QUARTERS}) AS expected FROM city_view.series s WHERE {_FAST} AND {_HERE} GROUP BY s.kind
)
SELECT w.time AS "time", s.kind AS metric, sum(least(w.count, w.expected)) / max(fleet.expected) AS value
FROM city_view.windows_15m w JOIN city_view.series s USING (series_id) JOIN fleet ON fleet.kind = s.kind
WHERE $__timeFilter(w.time) AND w.time <= now() - interval '30 minutes' AND {_FAST} AND {_HERE}
GROUP BY 1, 2 ORDER BY 1"""


def completeness(language: Language) -> str:
    """Completeness of the last hour by district and kind, the worst first."""
    return f"""
WITH arrived AS (
    SELECT w.series_id, sum(least(w.count, w.expected)) AS came FROM city_view.windows_15m w WHERE {_LAST_HOUR} GROUP BY 1
)
SELECT coalesce(nullif(s.district, ''), '-') AS "{word("district", language)}", s.kind AS "{word("kind", language)}",
       count(DISTINCT s.device) AS "{word("devices", language)}", sum(4 * {_QUARTERS}) AS "{word("expected", language)}",
       coalesce(sum(a.came), 0) AS "{word("came", language)}",
       coalesce(sum(a.came), 0) / sum(4 * {_QUARTERS}) AS "{word("completeness", language)}"
FROM city_view.series s LEFT JOIN arrived a USING (series_id)
WHERE {_FAST} AND {_HERE}
GROUP BY 1, 2 ORDER BY 6, 1, 2"""


def stale(language: Language) -> str:
    """Devices that sent nothing for more than three of their intervals, as of now, whatever time range is chosen."""
    return f"""
SELECT s.device AS "{word("device", language)}", max(s.name) AS "{word("name", language)}", max(s.kind) AS "{word("kind", language)}",
       coalesce(nullif(max(s.district), ''), '-') AS "{word("district", language)}", max(l.time) AS "{word("newest", language)}",
       extract(epoch FROM now() - max(l.time))::double precision AS "{word("silent_for", language)}",
       min(s.interval_s) AS "{word("interval", language)}"
FROM city_view.series s
LEFT JOIN LATERAL (
    SELECT r.time FROM city_view.readings r WHERE r.series_id = s.series_id AND r.time > now() - interval '7 days'
    ORDER BY r.time DESC LIMIT 1
) l ON true
WHERE {_HERE}
GROUP BY s.device
HAVING max(l.time) IS NULL OR max(l.time) < now() - greatest(interval '5 minutes', 3 * min(s.interval_s) * interval '1 second')
ORDER BY max(l.time) NULLS FIRST LIMIT 500"""
