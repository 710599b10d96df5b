"""`up` and `down` in order: servers, settings file, tables and topics, the page, our services."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.local.page import build_page
from deploy.local.places import REPOSITORY
from deploy.local.processes import clean_environment
from deploy.local.progress import say, step
from deploy.local.service_settings import check_settings
from deploy.local.services import SERVICES, Service, citynerve_command
from deploy.local.stack import SERVERS, LocalStack
from deploy.local.trouble import Trouble

MIGRATE_BUDGET_S = 120


def bring_up(stack: LocalStack, *, own_settings: Path | None, fresh: bool, with_services: bool = True) -> None:
    """Start what of the stack does not run; raises Trouble in a sentence for each thing that is wrong, UserError for wrong settings.

    What has come up stays up then, so that it can be looked at; `down` stops it.
    """
    if with_services:
        check_settings(own_settings)
    with stack.locked():
        if fresh:
            stack.wipe()
        stack.check_ports_unchanged()
        services = SERVICES if with_services else ()
        own = [service.name for service in services]
        running = stack.records
        missing = [name for name in [*SERVERS, *own] if name not in running]
        if not missing:
            say(f"the stack {stack.name} is already up")
            return
        stack.check_ports([*SERVERS, *own])
        stack.write_settings(own_settings)
        stack.start_servers()
        if services:
            build_page()
            migrate(stack)
            start_services(stack, [service for service in services if service.name not in running])


def start_services(stack: LocalStack, services: Sequence[Service]) -> None:
    """Start services one after the other in the data's way, so that each finds what it needs."""
    stack.want(SERVICES)
    for service in services:
        stack.start_service(service)


def bring_down(stack: LocalStack) -> tuple[list[str], list[str]]:
    """Stop the stack; return the names of what ran, and of what had to be killed."""
    with stack.locked():
        ran = list(stack.records)
        return ran, stack.down()


def migrate(stack: LocalStack) -> None:
    """Run `citynerve migrate` against the stack."""
    environment = clean_environment({"CITYNERVE_CONFIG": str(stack.settings_file)})
    with step("tables and topics"):
        try:
            done = subprocess.run(
                citynerve_command("migrate"), cwd=REPOSITORY, env=environment, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=MIGRATE_BUDGET_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            log = stack.place.logs / "postgres.log"
            msg = f"`citynerve migrate` did not end within {MIGRATE_BUDGET_S} s; look at {log}"
            raise Trouble(msg) from None
    if done.returncode != 0:
        msg = f"`citynerve migrate` failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        raise Trouble(msg)
