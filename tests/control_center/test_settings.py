"""Section [control]: wrong values are refused by name before anything connects."""

from pathlib import Path

import pytest

from control_center.settings import ControlSettings
from ingest.contract.operating import UserError, load_section


def load(**values: str) -> ControlSettings:
    environ = {f"CITYNERVE_CONTROL__{name.upper()}": value for name, value in values.items()}
    return load_section("control", ControlSettings, None, environ)


def test_the_defaults_serve_the_demo_on_loopback_only() -> None:
    settings = load()
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 28080)
    assert settings.hosts == frozenset({"127.0.0.1", "localhost", "[::1]"})


def test_host_names_follow_the_public_address_and_the_list() -> None:
    settings = load(public_url="https://city.example/", allowed_hosts='["proxy.local"]')
    assert settings.public_url == "https://city.example"
    assert settings.hosts is not None
    assert {"city.example", "proxy.local"} <= settings.hosts
    assert load(http_host="0.0.0.0").hosts is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"alertmanager_url": "127.0.0.1:29094"}, "alertmanager_url"),
        ({"prometheus_url": "ftp://x"}, "http://"),
        ({"http_port": "70000"}, "http_port"),
        ({"stop_budget_s": "0"}, "stop_budget_s"),
        ({"port": "1"}, "port"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(**values)
    assert words in str(caught.value)


def test_empty_addresses_switch_a_link_off_and_an_empty_file_means_ours() -> None:
    settings = load(alertmanager_url="", rules_file="")
    assert settings.alertmanager_url == ""
    assert settings.rules_file is None
    assert load(rules_file="/etc/rules.toml").rules_file == Path("/etc/rules.toml")
