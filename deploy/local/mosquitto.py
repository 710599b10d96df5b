"""Mosquitto of the local stack: every acknowledged message is on disk."""

from deploy.local import readiness
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.provision import Programs
from deploy.local.server import Place, Server, make_data_folder, render
from deploy.local.trouble import Trouble

TEMPLATE = REPOSITORY / "deploy/mosquitto/local.conf"


def prepare(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Render the configuration; return the command."""
    data = place.data("mosquitto")
    make_data_folder(data)
    plugins = sorted((programs.mosquitto / "usr/lib").glob("*/mosquitto/mosquitto_persist_sqlite.so"))
    if not plugins:
        raise Trouble("the fetched Mosquitto has no mosquitto_persist_sqlite.so; it must be 2.1 or later")
    config = render(
        TEMPLATE, place.run / "mosquitto.conf", mqtt_port=ports.mqtt_port, persist_sqlite=plugins[0], data=data
    )
    return [str(programs.mosquitto / "usr/sbin/mosquitto"), "-c", str(config)]


SERVER = Server("mosquitto", prepare, readiness.mqtt, ("mqtt_port",))
