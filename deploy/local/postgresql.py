"""PostgreSQL 17 with TimescaleDB of the local stack."""

import asyncio
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil

from deploy.local import readiness
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.processes import clean_environment
from deploy.local.provision import Programs
from deploy.local.server import Place, Server, make_data_folder, render, unprivileged_uid
from deploy.local.trouble import Trouble

TEMPLATE = REPOSITORY / "deploy/postgresql/local.conf"
USER = "citynerve"
DATABASE = "citynerve"
_INITDB_BUDGET_S = 120
_CREATE_BUDGET_S = 20


def prepare(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Make the cluster once and render its configuration; return the command."""
    data = place.data("postgres")
    make_data_folder(data, private=True)
    if not (data / "PG_VERSION").exists():
        _initdb(data, programs)
    config = render(
        TEMPLATE,
        place.run / "postgresql.conf",
        postgres_port=ports.postgres_port,
        shared_buffers_mb=shared_buffers_mb(),
    )
    return [str(programs.postgres_bin / "postgres"), "-D", str(data), "-c", f"config_file={config}"]


def shared_buffers_mb() -> int:
    """An eighth of the memory, 128 to 1024 MB."""
    return max(128, min(1024, psutil.virtual_memory().total // 8_000_000))


def dsn(port: int, database: str = DATABASE) -> str:
    """Address of a database of the stack."""
    return f"postgresql://{USER}@{readiness.HOST}:{port}/{database}"


def select_one(port: int) -> str | None:
    """Probe: SELECT 1 in the stack's database, which the first success makes."""
    with ThreadPoolExecutor(1) as pool:  # the caller may have an event loop of its own
        return pool.submit(asyncio.run, _select_one(port)).result()


async def _select_one(port: int) -> str | None:
    try:
        if await _execute(port, "postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") is None:
            await _execute(port, "postgres", f"CREATE DATABASE {DATABASE}")
        await _execute(port, DATABASE, "SELECT 1")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"PostgreSQL on port {port} does not answer ({error or type(error).__name__})"
    return None


async def _execute(port: int, database: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn(port, database), timeout=readiness.PROBE_BUDGET_S, ssl=False)
    try:
        return await connection.fetchval(statement, timeout=_CREATE_BUDGET_S)
    finally:
        await connection.close(timeout=readiness.PROBE_BUDGET_S)


def _initdb(data: Path, programs: Programs) -> None:
    command = [
        str(programs.postgres_bin / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "--data-checksums",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
    ]  # fmt: skip
    uid = unprivileged_uid()
    identity = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_INITDB_BUDGET_S, check=False, cwd=data,
        env=_named_environment(data), **identity,  # type: ignore[call-overload]
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines() or ["it gave no reason"]
        reason = ([line for line in said if "could not" in line or "FATAL" in line or "error" in line] or said[-1:])[0]
        msg = f"PostgreSQL's data folder could not be made: {reason}"
        raise Trouble(msg)


def _named_environment(data: Path) -> dict[str, str]:
    """An environment in which our uid has a name, as initdb demands, whether or not /etc/passwd knows it.

    initdb and postgres are made to load nss_wrapper (see pins), which reads these variables.
    """
    uid, gid = os.geteuid(), os.getegid()
    known = any(line.split(":")[2:3] == [str(uid)] for line in Path("/etc/passwd").read_text().splitlines())
    if known:
        return clean_environment({})
    users, groups = data.parent / "passwd", data.parent / "group"
    users.write_text(f"{USER}:x:{uid}:{gid}::{data}:/bin/sh\n")
    groups.write_text(f"{USER}:x:{gid}:\n")
    return clean_environment({"NSS_WRAPPER_PASSWD": str(users), "NSS_WRAPPER_GROUP": str(groups)})


SERVER = Server(
    "postgres",
    prepare,
    select_one,
    ("postgres_port",),
    stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client to leave
    stop_budget_s=40.0,
)
