"""Prometheus and Alertmanager of the local stack."""

from pathlib import Path

from deploy.local import readiness
from deploy.local.cache_entry import make_folder
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.provision import Programs
from deploy.local.server import Place, Server, make_data_folder, render

FOLDER = REPOSITORY / "deploy/prometheus"


def prepare_prometheus(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Render the scrape configuration and copy the alerting rules; return the command."""
    data = place.data("prometheus")
    make_data_folder(data)
    config = render(FOLDER / "prometheus.yml", place.run / "prometheus.yml", **ports.model_dump())
    _copy_rules(place.run / "rules")
    return [
        str(programs.servers / "usr/bin/prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}",
        f"--web.listen-address={readiness.HOST}:{ports.prometheus_port}", "--storage.tsdb.retention.time=15d",
        "--web.enable-lifecycle", "--log.level=warn",
    ]  # fmt: skip


def prepare_alertmanager(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Render the routes; return the command. Clustering is off, so it opens no second port."""
    data = place.data("alertmanager")
    make_data_folder(data)
    config = render(FOLDER / "alertmanager.yml", place.run / "alertmanager.yml", **ports.model_dump())
    return [
        str(programs.servers / "usr/bin/prometheus-alertmanager"), f"--config.file={config}",
        f"--storage.path={data}", f"--web.listen-address={readiness.HOST}:{ports.alertmanager_port}",
        "--cluster.listen-address=", "--log.level=warn",
    ]  # fmt: skip


def _copy_rules(target: Path) -> None:
    """Rules are copied, because the server's uid may not be able to read the repository."""
    make_folder(target)
    for old in target.glob("*.yml"):
        old.unlink()
    for rules in sorted((FOLDER / "rules").glob("*.yml")):
        (target / rules.name).write_text(rules.read_text())


def _ready(port: int) -> str | None:
    return readiness.http(port, "/-/ready")


PROMETHEUS = Server("prometheus", prepare_prometheus, _ready, ("prometheus_port",))
ALERTMANAGER = Server("alertmanager", prepare_alertmanager, _ready, ("alertmanager_port",))
