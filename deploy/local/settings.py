"""Section [local]: the launcher's own settings."""

from pathlib import Path

from deploy.local.ports import Ports, default_ports
from ingest.contract.operating import load_section


def load_ports(stack: str, config: Path | None) -> Ports:
    """Ports of a stack: defaults, then [local] of the settings file (for the demo's stack only), then the environment.

    Raises UserError where one is no port, or two are the same.
    """

    class WithDefaults(Ports):
        """The same settings with this stack's defaults."""

    for name, port in default_ports(stack).items():
        WithDefaults.model_fields[name].default = port
    WithDefaults.model_rebuild(force=True)
    only_environment = Path("/dev/null")
    loaded = load_section("local", WithDefaults, config if stack == "demo" else only_environment)
    return Ports(**loaded.model_dump())
