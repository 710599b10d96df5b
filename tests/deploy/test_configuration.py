"""Configuration files as the launcher renders them."""

import tomllib
from pathlib import Path

import pytest

from deploy.local import kafka, mosquitto, postgresql, services
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports, default_ports
from deploy.local.provision import Programs
from deploy.local.server import Place, render
from deploy.local.services import SECOND_PROCESSOR, SERVICES, merged_settings, stack_settings, to_toml
from deploy.local.trouble import Trouble

PORTS = Ports(**default_ports("test"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "stack")
    place.make()
    return place


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Programs that are not there, but for Mosquitto's plugin."""
    plugin = tmp_path / "mosquitto/usr/lib/x86_64-linux-gnu/mosquitto/mosquitto_persist_sqlite.so"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    return Programs(tmp_path / "servers", tmp_path / "mosquitto", Path("/usr/bin/java"), tmp_path / "kafka")


def settings_of(path: Path) -> dict[str, str]:
    """Lines of a `name=value` or `name value` file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.replace(" = ", "=").replace("=", " ", 1).split(" ", 1) for line in lines)


def test_mosquitto_writes_every_message_to_disk_and_bounds_every_queue(place: Place, programs: Programs) -> None:
    command = mosquitto.prepare(place, PORTS, programs)
    settings = settings_of(Path(command[-1]))
    assert settings["listener"] == "11883 127.0.0.1"
    assert settings["plugin"].endswith("mosquitto_persist_sqlite.so")
    assert settings["plugin_opt_sync"] == "full"
    assert settings["plugin_opt_flush_period"] == "0"
    assert settings["plugin_opt_db_file"] == str(place.data("mosquitto") / "mosquitto.sqlite3")
    assert "persistence" not in settings
    for bound in ("max_queued_messages", "max_queued_bytes", "max_packet_size", "memory_limit", "max_connections"):
        assert int(settings[bound]) > 0, bound


def test_a_mosquitto_without_the_durable_store_is_refused(place: Place, tmp_path: Path) -> None:
    old = Programs(tmp_path, tmp_path / "mosquitto-2.0", tmp_path, tmp_path)
    with pytest.raises(Trouble, match=r"2\.1 or later"):
        mosquitto.prepare(place, PORTS, old)


def test_kafka_makes_no_topic_by_itself_and_stamps_append_time(place: Place, programs: Programs) -> None:
    data = place.data("kafka")
    data.mkdir(parents=True)
    (data / "meta.properties").touch()  # as if formatted
    command = kafka.prepare(place, PORTS, programs)
    settings = settings_of(Path(command[-1]))
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.message.timestamp.type"] == "LogAppendTime"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"
    assert settings["log.dirs"] == str(data)
    assert all("127.0.0.1" in entry for entry in settings["listeners"].split(","))
    assert f"{programs.kafka}/*" in command


def test_kafkas_cluster_id_never_looks_like_an_option() -> None:
    ids = {kafka.cluster_id() for _ in range(2000)}  # one in 64 would begin with "-"
    assert len(ids) == 2000
    assert not any(text.startswith("-") for text in ids)
    assert {len(text) for text in ids} == {22}


def test_postgres_gives_up_no_durability(place: Place) -> None:
    rendered = render(
        postgresql.TEMPLATE,
        place.run / "postgresql.conf",
        postgres_port=15432,
        shared_buffers_mb=postgresql.shared_buffers_mb(),
    )
    settings = settings_of(rendered)
    assert (settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"]) == ("on", "on", "on")
    assert settings["listen_addresses"] == "'127.0.0.1'"
    assert settings["unix_socket_directories"] == "''"
    assert settings["shared_preload_libraries"] == "'timescaledb'"
    assert 128 <= postgresql.shared_buffers_mb() <= 1024


def test_a_template_with_an_unknown_name_fails_loudly(tmp_path: Path) -> None:
    (tmp_path / "template").write_text("port $unknown_port\n")
    with pytest.raises(KeyError):
        render(tmp_path / "template", tmp_path / "out", mqtt_port=1)


def test_every_template_is_rendered_whole(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alertmanager.yml"):
        text = render(REPOSITORY / "deploy/prometheus" / name, tmp_path / name, **PORTS.model_dump()).read_text()
        assert "_port" not in "".join(line for line in text.splitlines() if not line.lstrip().startswith("#")), name


def test_the_settings_file_is_toml_and_holds_every_address_of_the_stack() -> None:
    document = tomllib.loads(to_toml(stack_settings(PORTS, Path("/data"))))
    assert document["mqtt"] == {"host": "127.0.0.1", "port": 11883}
    assert document["kafka"] == {"bootstrap": "127.0.0.1:19092"}
    assert document["database"] == {"dsn": "postgresql://citynerve@127.0.0.1:15432/citynerve"}
    assert document["control"]["alertmanager_url"] == "http://127.0.0.1:19094"
    assert document["ingest"]["state_dir"] == "/data/ingest"
    for service in SERVICES:
        assert document[service.section]["http_port"] == getattr(PORTS, service.port_name)


def test_the_users_settings_stay_but_the_stacks_addresses_win() -> None:
    own: dict[str, dict[str, object]] = {
        "city": {"name": 'Huế "cố đô"', "latitude": 16.46},
        "mqtt": {"port": 1, "keepalive_s": 60},
        "local": {"mqtt_port": 1},
    }
    document = tomllib.loads(to_toml(merged_settings(own, stack_settings(PORTS, Path("/data")))))
    assert document["city"] == {"name": 'Huế "cố đô"', "latitude": 16.46}
    assert document["mqtt"] == {"port": 11883, "keepalive_s": 60, "host": "127.0.0.1"}
    assert "local" not in document


def test_lists_tables_and_truth_values_survive_the_settings_file() -> None:
    own: dict[str, dict[str, object]] = {"ingest": {"filters": ["a/#", "b/+"], "fast": True, "limits": {"a b": 1.5}}}
    assert tomllib.loads(to_toml(own)) == own


def test_a_second_processor_differs_in_nothing_but_names_and_port() -> None:
    first = next(service for service in SERVICES if service.name == "process")
    assert (SECOND_PROCESSOR.arguments, SECOND_PROCESSOR.section) == (first.arguments, first.section)
    assert SECOND_PROCESSOR.port_name != first.port_name
    assert SECOND_PROCESSOR.environment == {"CITYNERVE_PROCESSORS__NAME": "processor-2"}


def test_our_services_run_by_the_python_of_the_launcher() -> None:
    assert services.citynerve_command("migrate")[1:] == ["-m", "deploy.cli", "migrate"]
