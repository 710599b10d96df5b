#!/bin/sh
# Run once by the image's entrypoint, before `citynerve migrate` makes the views: what it makes is readable by Grafana from the start.
set -eu
psql -X -v ON_ERROR_STOP=1 -v password="$CITYNERVE_GRAFANA_DB_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /citynerve/grafana_role.sql
