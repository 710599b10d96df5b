"""The operators' dashboard: the city now, in English or Vietnamese."""

from __future__ import annotations

from deploy.grafana import operators_sql as queries
from deploy.grafana.classic import dashboards, schema
from deploy.grafana.panels import (
    AMBER,
    GREEN,
    POSTGRES,
    PROMETHEUS,
    RED,
    Columns,
    Look,
    Panel,
    Steps,
    device_map,
    number,
    numbered,
    promql,
    rows,
    severity_texts,
    sql,
    trend,
)
from deploy.grafana.words import Language, word

TAG = "citynerve"


def board(language: Language) -> schema.Dashboard:
    """The whole dashboard."""
    built = (
        dashboards.Dashboard(word("board", language))
        .uid(f"citynerve-operators-{language}")
        .tags([TAG, f"operators-{language}"])
    )
    built = built.description(word("board_about", language)).time("now-24h", "now").refresh("30s").timezone("browser")
    built = built.tooltip(schema.DashboardCursorSync.CROSSHAIR).readonly()
    for variable in (_district(language), _metric(language), _resolution(language)):
        built = built.with_variable(variable)
    other = "vi" if language == "en" else "en"
    for title, address in (
        (word("other", language), f"/d/citynerve-operators-{other}"),
        (word("platform", language), "/d/citynerve-platform"),
    ):
        link = (
            dashboards.DashboardLink(title).type(schema.DashboardLinkType.LINK).url(address).keep_time(keep_time=True)
        )
        built = built.link(link)
    for title, panels in (
        ("row_now", _now(language)),
        ("row_map", _where(language)),
        ("row_trends", _trends(language)),
        ("row_trust", _trust(language)),
    ):
        built = built.with_row(dashboards.Row(word(title, language)))
        for panel in panels:
            built = built.with_panel(panel)
    return numbered(built.build())


def _district(language: Language) -> dashboards.QueryVariable:
    everything = schema.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = (
        dashboards.QueryVariable("district")
        .label(word("district", language))
        .datasource(POSTGRES)
        .query(queries.DISTRICTS)
    )
    variable = variable.multi(multi=True).include_all(include_all=True).current(everything)
    return variable.refresh(schema.VariableRefresh.ON_DASHBOARD_LOAD)


def _metric(language: Language) -> dashboards.QueryVariable:
    chosen = schema.VariableOption(selected=True, text="pm2_5", value="pm2_5")
    variable = (
        dashboards.QueryVariable("metric").label(word("metric", language)).datasource(POSTGRES).query(queries.METRICS)
    )
    return variable.current(chosen).refresh(schema.VariableRefresh.ON_DASHBOARD_LOAD)


def _resolution(language: Language) -> dashboards.CustomVariable:
    sizes = ["1m", "15m", "1h", "1d"]
    options = [schema.VariableOption(selected=size == "15m", text=size, value=size) for size in sizes]
    variable = dashboards.CustomVariable("resolution").label(word("resolution", language)).values(",".join(sizes))
    return variable.options(options).current(options[1]).description(word("resolution_about", language))


def _look(key: str, language: Language, unit: str, width: int, *, height: int = 8, steps: Steps | None = None) -> Look:
    about = word(f"{key}_about", language)
    return Look(word(key, language), about, unit, width, height, steps=steps or Steps(GREEN))


def _now(language: Language) -> list[Panel]:
    alarmed = Steps(GREEN, [(1, RED)])
    late = Steps(GREEN, [(120, AMBER), (300, RED)])
    stored = 'sum(rate(citynerve_processor_readings_total{outcome="stored"}[$__rate_interval]))'
    complete = Look(
        word("completeness_now", language),
        word("completeness_about", language),
        "percentunit",
        4,
        4,
        decimals=1,
        steps=Steps(RED, [(0.8, AMBER), (0.95, GREEN)]),
    )
    small = 4
    silence = promql(("", "time() - max(citynerve_ingest_last_message_timestamp_seconds)"), instant=True)
    return [
        number(
            _look("critical_alarms", language, "short", 4, height=small, steps=alarmed),
            [sql(queries.open_alarms(critical_only=True))],
            POSTGRES,
        ),
        number(
            _look("open_alarms", language, "short", 4, height=small, steps=Steps(GREEN, [(1, AMBER)])),
            [sql(queries.open_alarms(critical_only=False))],
            POSTGRES,
        ),
        number(_look("readings_rate", language, "cps", 4, height=small), promql(("", stored)), PROMETHEUS),
        number(_look("silence", language, "s", 4, height=small, steps=late), silence, PROMETHEUS),
        number(complete, [sql(queries.COMPLETENESS_NOW)], POSTGRES),
        number(
            _look("unaccounted", language, "short", 4, height=small, steps=alarmed),
            promql(("", "max(citynerve_control_unaccounted_readings)"), instant=True),
            PROMETHEUS,
        ),
        _alarm_table(language),
    ]


def _alarm_table(language: Language) -> Panel:
    colours = {"critical": RED, "warning": AMBER, "info": "blue", "raised": RED, "acknowledged": "blue"}
    texts = {key: (word(key, language), colour) for key, colour in colours.items()}
    coloured: list[tuple[str, object]] = [
        ("mappings", severity_texts(texts)),
        ("custom.cellOptions", {"type": "color-text"}),
        ("custom.width", 120),
    ]
    columns: Columns = {
        word("severity", language): coloured,
        word("state", language): coloured,
        word("since", language): [("unit", "dateTimeAsLocal")],
    }
    return rows(_look("alarms", language, "short", 24, height=9), sql(queries.alarms(language)), columns, POSTGRES)


def _where(language: Language) -> list[Panel]:
    drawn = device_map(
        _look("map", language, "short", 16, height=14),
        sql(queries.device_map(language)),
        layer=word("map", language),
        value=word("value", language),
    )
    history = trend(
        _look("alarm_history", language, "short", 8, height=14),
        [sql(queries.ALARM_HISTORY, series=True)],
        POSTGRES,
        stacked=True,
        interval="1h",
    )
    return [drawn, history]


def _trends(language: Language) -> list[Panel]:
    drawn = (
        ("pm2_5", "conμgm3", "pm2_5", queries.MEAN),
        ("noise", "dB", "laeq", queries.ENERGETIC_MEAN),
        ("traffic", "short", "traffic_count", queries.VEHICLES_PER_HOUR),
        ("water", "lengthm", "water_level", queries.HIGHEST),
    )
    return [
        trend(
            _look(key, language, unit, 12, height=9),
            [sql(queries.by_district(metric, amount), series=True)],
            POSTGRES,
            interval="1m",
        )
        for key, unit, metric, amount in drawn
    ]


def _trust(language: Language) -> list[Panel]:
    about = word("completeness_about", language)
    over_time = Look(word("completeness", language), about, "percentunit", 12, 9)
    by_district = Look(word("completeness_table", language), about, "short", 12, 9)
    bar: list[tuple[str, object]] = [
        ("unit", "percentunit"),
        ("min", 0),
        ("max", 1),
        ("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
        ("color", {"mode": "continuous-RdYlGr"}),
    ]
    duration: list[tuple[str, object]] = [("unit", "s")]
    silent: Columns = {
        word("silent_for", language): duration,
        word("interval", language): duration,
        word("newest", language): [("unit", "dateTimeAsLocal"), ("noValue", "-")],
    }
    return [
        trend(over_time, [sql(queries.COMPLETENESS_TREND, series=True)], POSTGRES, interval="15m"),
        rows(by_district, sql(queries.completeness(language)), {word("completeness", language): bar}, POSTGRES),
        rows(_look("stale", language, "short", 24, height=10), sql(queries.stale(language)), silent, POSTGRES),
    ]
