"""The Grafana dashboards as code: `python -m deploy.grafana.build` writes deploy/grafana/dashboards/*.json."""
