"""Grafana's schema library, as far as our dashboards use it.

The library marks the classic dashboard as deprecated when it is imported and recommends the v2 resource; we stay with the classic
file (schemaVersion 42), which Grafana 12 and 13 both provision from disk.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Prefer using dashboardv2", category=DeprecationWarning)
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as dashboards
    from grafana_foundation_sdk.builders import geomap, prometheus, stat, table, timeseries
    from grafana_foundation_sdk.cog import variants
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as schema
    from grafana_foundation_sdk.models import geomap as geomap_schema

__all__ = [
    "Builder", "JSONEncoder", "common", "common_builders", "dashboards", "geomap", "geomap_schema", "prometheus", "schema", "stat",
    "table", "timeseries", "variants",
]  # fmt: skip
