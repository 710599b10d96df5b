"""Panels and queries in the few shapes our dashboards use, on top of Grafana's own schema library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.grafana.classic import (
    Builder,
    common,
    common_builders,
    dashboards,
    geomap,
    geomap_schema,
    prometheus,
    schema,
    stat,
    table,
    timeseries,
    variants,
)

PROMETHEUS = common.DataSourceRef(type_val="prometheus", uid="citynerve-prometheus")
POSTGRES = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="citynerve-postgres")
GREEN, AMBER, RED, GREY = "green", "orange", "red", "#808080"

Query = Builder[variants.Dataquery]
Panel = Builder[schema.Panel]
Columns = Mapping[str, Sequence[tuple[str, object]]]


class SqlQuery(variants.Dataquery):
    """A query of Grafana's PostgreSQL data source, which the schema library does not know."""

    def __init__(self, ref_id: str, text: str, *, series: bool) -> None:
        self.ref_id, self.text, self.series = ref_id, text, series

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {
            "refId": self.ref_id,
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "time_series" if self.series else "table",
            "rawQuery": True,
            "rawSql": self.text,
        }


class _Built(Builder[variants.Dataquery]):
    def __init__(self, query: variants.Dataquery) -> None:
        self.query = query

    def build(self) -> variants.Dataquery:
        return self.query


def sql(text: str, *, series: bool = False, ref_id: str = "A") -> Query:
    """A SQL query; `series` says that its columns are time, metric, value."""
    return _Built(SqlQuery(ref_id, text.strip(), series=series))


def promql(*queries: tuple[str, str], instant: bool = False) -> list[Query]:
    """PromQL queries as (legend, expression)."""
    built: list[Query] = []
    for number, (legend, expression) in enumerate(queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        query = query.datasource(PROMETHEUS)
        built.append(query.instant() if instant else query.range())
    return built


@dataclass(frozen=True, slots=True)
class Steps:
    """Colours by value: `first` up to the first bound, then each bound's colour."""

    first: str
    bounds: Sequence[tuple[float, str]] = ()

    def build(self) -> Builder[schema.ThresholdsConfig]:
        """As Grafana's thresholds."""
        steps = [schema.Threshold(value=None, color=self.first)]
        steps += [schema.Threshold(value=value, color=colour) for value, colour in self.bounds]
        return dashboards.ThresholdsConfig().mode(schema.ThresholdsMode.ABSOLUTE).steps(steps)


@dataclass(frozen=True, slots=True)
class Look:
    """What a panel is called and where it stands: `width` of 24 columns, `height` in rows of 30 pixels."""

    title: str
    description: str
    unit: str = "short"
    width: int = 8
    height: int = 8
    decimals: int | None = None
    steps: Steps = field(default_factory=lambda: Steps(GREEN))


def number(look: Look, queries: Sequence[Query], source: common.DataSourceRef) -> Panel:
    """One big number, coloured by its value; "no data" stays grey and says so."""
    panel = stat.Panel().title(look.title).description(look.description).datasource(source).unit(look.unit)
    panel = panel.span(look.width).height(look.height).targets(list(queries)).thresholds(look.steps.build())
    panel = panel.color_mode(common.BigValueColorMode.BACKGROUND).graph_mode(common.BigValueGraphMode.AREA)
    panel = panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
    return panel if look.decimals is None else panel.decimals(look.decimals)


def trend(
    look: Look,
    queries: Sequence[Query],
    source: common.DataSourceRef,
    *,
    stacked: bool = False,
    interval: str | None = None,
) -> Panel:
    """Lines over time; gaps in the data stay gaps."""
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
    legend = legend.show_legend(show_legend=True).calcs([])
    panel = timeseries.Panel().title(look.title).description(look.description).datasource(source).unit(look.unit)
    panel = panel.span(look.width).height(look.height).targets(list(queries)).legend(legend)
    panel = panel.tooltip(
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    panel = (
        panel.line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(span_nulls=False)
    )
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)).min(0)
    return panel if interval is None else panel.interval(interval)


def rows(look: Look, query: Query, columns: Columns, source: common.DataSourceRef) -> Panel:
    """A table; `columns` gives properties (id, value) to columns by name."""
    panel = table.Panel().title(look.title).description(look.description).datasource(source)
    panel = panel.span(look.width).height(look.height).targets([query])
    for name, properties in columns.items():
        panel = panel.override_by_name(name, [schema.DynamicConfigValue(key, value) for key, value in properties])
    return panel


def device_map(look: Look, query: Query, *, layer: str, value: str) -> Panel:
    """Markers at `latitude`/`longitude`, coloured by the column `value`; a device without a value is grey."""
    marker = {
        "showLegend": True,
        "style": {
            "size": {"fixed": 7, "min": 4, "max": 12},
            "color": {"field": value, "fixed": GREY},
            "opacity": 0.8,
            "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
        },
    }
    location = common_builders.FrameGeometrySource().mode(common.FrameGeometrySourceMode.COORDS)
    markers = common_builders.MapLayerOptions().type("markers").name(layer).config(marker).tooltip(tooltip=True)
    markers = markers.location(location.latitude("latitude").longitude("longitude"))
    panel = geomap.Panel().title(look.title).description(look.description).datasource(POSTGRES).unit(look.unit)
    panel = panel.span(look.width).height(look.height).targets([query]).layers([markers])
    panel = panel.basemap(common_builders.MapLayerOptions().type("default").name("base"))
    panel = panel.view(geomap.MapViewConfig().id("fit").all_layers(all_layers=True).padding(5))
    panel = panel.tooltip(geomap.TooltipOptions().mode(geomap_schema.TooltipMode.DETAILS))
    panel = panel.color_scheme(dashboards.FieldColor().mode(schema.FieldColorModeId.CONTINUOUS_GR_YL_RD))
    return panel.controls(
        geomap.ControlsOptions()
        .show_zoom(show_zoom=True)
        .mouse_wheel_zoom(mouse_wheel_zoom=True)
        .show_attribution(show_attribution=True)
        .show_scale(show_scale=True)
    )


def severity_texts(texts: Mapping[str, tuple[str, str]]) -> list[dict[str, object]]:
    """A value mapping: stored value -> (shown text, colour)."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}]


def numbered(board: schema.Dashboard) -> schema.Dashboard:
    """The dashboard with ids for its panels and rows, in order: links to a panel and its saved view need them."""
    for position, panel in enumerate(board.panels or [], start=1):
        panel.id_val = position
    return board
