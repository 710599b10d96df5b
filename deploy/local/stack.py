"""The local stack: every server and service started, asked, paused, killed and stopped by name."""

import signal
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.local import kafka, mosquitto, postgresql, processes, prometheus, services
from deploy.local.cache_entry import wait_for_lock
from deploy.local.places import REPOSITORY, stack_folder
from deploy.local.ports import Ports, check_free, default_ports
from deploy.local.prerequisites import check_host
from deploy.local.processes import ProcessRecord
from deploy.local.progress import say
from deploy.local.provision import Programs, provide_browser, provide_programs
from deploy.local.readiness import HOST
from deploy.local.server import Place, Server, remove_data, unprivileged_uid
from deploy.local.services import SERVICES, Service
from deploy.local.trouble import Trouble
from deploy.local.waiting import wait_until_ready

SERVERS = {
    server.name: server
    for server in (mosquitto.SERVER, kafka.SERVER, postgresql.SERVER, prometheus.PROMETHEUS, prometheus.ALERTMANAGER)
}
SERVICE_READY_BUDGET_S = 60.0
SERVICE_STOP_BUDGET_S = 30.0
LOCK_BUDGET_S = 180.0


@dataclass(frozen=True, slots=True)
class Status:
    """One line of `citynerve status`; `reason` says why it is not ready, pid 0 is no process."""

    name: str
    pid: int
    port: int
    alive: bool = False
    ready: bool = False
    reason: str | None = None
    uptime_s: float = 0.0


class LocalStack:
    """One stack: its folders, ports and processes.

    Everything is found again from the records on disk, so any process may start a stack and any other stop it.
    """

    def __init__(self, name: str = "demo", ports: Ports | None = None, folder: Path | None = None) -> None:
        self.name = name
        self.servers = dict(SERVERS)
        self.ports = ports or Ports(**default_ports(name))
        self.place = Place(folder or stack_folder(name))

    @cached_property
    def programs(self) -> Programs:
        """The fetched programs; the first use may fetch them, which takes a minute."""
        return provide_programs()

    @property
    def mqtt_port(self) -> int:
        """Port of the MQTT broker on 127.0.0.1."""
        return self.ports.mqtt_port

    @property
    def kafka_port(self) -> int:
        """Port of Kafka."""
        return self.ports.kafka_port

    @property
    def postgres_port(self) -> int:
        """Port of PostgreSQL."""
        return self.ports.postgres_port

    @property
    def prometheus_port(self) -> int:
        """Port of Prometheus."""
        return self.ports.prometheus_port

    @property
    def alertmanager_port(self) -> int:
        """Port of Alertmanager."""
        return self.ports.alertmanager_port

    def tool(self, name: str) -> Path:
        """Path of promtool, amtool, psql, pg_dump, ..."""
        return self.programs.tool(name)

    def chromium(self) -> Path:
        """A headless-ready Chromium for playwright's `executable_path`; the first use fetches it."""
        return provide_browser()

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's bootstrap address."""
        return f"{HOST}:{self.ports.kafka_port}"

    def kafka_settings(self) -> dict[str, str | int]:
        """What [kafka] must say for this stack."""
        return {"bootstrap": self.kafka_bootstrap}

    def postgres_dsn(self, database: str = postgresql.DATABASE) -> str:
        """Address of a database."""
        return postgresql.dsn(self.ports.postgres_port, database)

    @property
    def settings_file(self) -> Path:
        """The settings file of the stack's addresses, for `--config`."""
        return services.settings_file(self.place.run)

    @property
    def records(self) -> dict[str, ProcessRecord]:
        """Records of the processes that are alive, oldest first."""
        return {name: record for name, record in self.all_records().items() if processes.is_alive(record)}

    def all_records(self) -> dict[str, ProcessRecord]:
        """Records of every process started and not stopped by us, dead ones too."""
        return processes.load_all(self.place.run)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack against another `up` or `down`."""
        self.place.make()
        with (self.place.run / "lock").open("w") as file:
            wait_for_lock(file.fileno(), f"another command is working on the stack {self.name}", LOCK_BUDGET_S)
            yield

    # --- starting

    def start_servers(self, which: Iterable[str] | None = None) -> None:
        """Start the named servers (all) together and wait until each answers; those that run already are left alone.

        Raises Trouble where a port is taken (before anything starts) or a server does not come up (the others stay up).
        """
        self.place.make()
        running = self.records
        wanted = [name for name in (self.servers if which is None else which) if name not in running]
        self.check_ports(wanted)
        check_host()
        programs = self.programs
        with ThreadPoolExecutor(len(self.servers)) as pool:
            failures = [
                f
                for f in pool.map(lambda name: self._start_server(self.servers[name], programs), wanted)
                if f is not None
            ]
        if failures:
            raise Trouble("\n".join(failures))

    def check_ports(self, names: Iterable[str]) -> None:
        """Raise Trouble where a port of a named server or service that does not run is taken."""
        running = self.records
        ports: dict[str, tuple[str, ...]] = {service.name: (service.port_name,) for service in SERVICES}
        ports |= {name: server.ports for name, server in self.servers.items()}
        check_free(self.ports, [port for name in names if name not in running for port in ports[name]])

    def _start_server(self, server: Server, programs: Programs) -> str | None:
        port: int = getattr(self.ports, server.ports[0])
        try:
            command = server.prepare(self.place, self.ports, programs)
            uid = unprivileged_uid() if server.unprivileged else None
            record = self._launch(server.name, command, port, working=programs.servers, uid=uid)
            took_s = wait_until_ready(record, lambda: server.probe(port), server.ready_budget_s)
        except Trouble as trouble:
            return str(trouble)
        say(f"{server.name} is ready on port {port} after {took_s:.1f} s")
        return None

    def check_ports_unchanged(self) -> None:
        """Raise Trouble where something runs on another port than the settings now say."""
        for name, record in self.records.items():
            if name in self.servers and record.port != self._port(name):
                msg = f"{name} runs on port {record.port} and the settings now say {self._port(name)}; "
                raise Trouble(msg + "stop the stack with `citynerve down` first")

    def _launch(
        self,
        name: str,
        command: list[str],
        port: int,
        *,
        working: Path,
        uid: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ProcessRecord:
        return processes.start(
            name,
            command,
            folder=self.place.run,
            working=working,
            log=self.place.logs / f"{name}.log",
            environment=environment or {},
            port=port,
            uid=uid,
        )

    def start_service(
        self,
        service: Service | str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
    ) -> ProcessRecord:
        """Start one of our services with the stack's settings file; `environment` may change any setting of it.

        Raises Trouble where its port is taken, or with `wait` where it does not become ready.
        """
        spec = service if isinstance(service, Service) else _service(service)
        check_free(self.ports, [spec.port_name])
        port: int = getattr(self.ports, spec.port_name)
        given = {
            "CITYNERVE_CONFIG": str(self.settings_file),
            f"CITYNERVE_{spec.section.upper()}__HTTP_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            **spec.environment,
            **(environment or {}),
        }
        record = self._launch(
            spec.name,
            services.citynerve_command(*spec.arguments, *arguments),
            port,
            working=REPOSITORY,
            environment=given,
        )
        if wait:
            took_s = wait_until_ready(record, lambda: services.probe(port), SERVICE_READY_BUDGET_S)
            say(f"{spec.name} is ready on port {port} after {took_s:.1f} s")
        return record

    def write_settings(self, own: Path | None = None) -> Path:
        """Write the stack's settings file: those of `own` with the stack's addresses over them."""
        self.place.make()
        given = tomllib.loads(own.read_text(encoding="utf-8")) if own is not None else {}
        stack = services.stack_settings(self.ports, self.place.folder / "data")
        stack["kafka"] |= self.kafka_settings()
        merged = services.merged_settings(given, stack)
        self.settings_file.write_text(services.to_toml(merged), encoding="utf-8")
        return self.settings_file

    # --- one process

    def stop(self, name: str, number: signal.Signals | None = None, budget_s: float | None = None) -> bool:
        """Stop one process in good order; True where it ended within the budget, False where it had to be killed."""
        record = self.all_records().get(name)
        if record is None:
            return True
        server = self.servers.get(name)
        if budget_s is None:
            budget_s = server.stop_budget_s if server else SERVICE_STOP_BUDGET_S
        ended = processes.stop(record, number or (server.stop_signal if server else signal.SIGTERM), budget_s)
        processes.forget(name, self.place.run)
        return ended

    def kill(self, name: str) -> None:
        """End one process and its children by SIGKILL, as a crash of the machine's process table would."""
        processes.kill(self._record(name))
        processes.forget(name, self.place.run)

    def pause(self, name: str) -> None:
        """SIGSTOP a process and its children: alive, holding its connections, answering nothing."""
        processes.send(self._record(name), signal.SIGSTOP, tree=True)

    def resume(self, name: str) -> None:
        """SIGCONT what `pause` stopped."""
        processes.send(self._record(name), signal.SIGCONT, tree=True)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send any signal to one process."""
        processes.send(self._record(name), number)

    def restart(self, name: str) -> None:
        """Stop a server in good order (where it runs) and start it again on its data."""
        self.stop(name)
        self.start_servers([name])

    def _record(self, name: str) -> ProcessRecord:
        record = self.records.get(name)
        if record is None:
            msg = f"{name} is not running in the stack {self.name}; `citynerve status` shows what is"
            raise Trouble(msg)
        return record

    # --- all of it

    def down(self) -> list[str]:
        """Stop everything, services first, newest first; return the names of what had to be killed."""
        names = list(reversed(self.all_records()))
        own = [name for name in names if name not in self.servers]
        killed = [name for name in own if not self.stop(name)]
        servers = [name for name in names if name in self.servers]
        with ThreadPoolExecutor(len(self.servers)) as pool:
            ended = list(pool.map(self.stop, servers))
        self._wanted_file.unlink(missing_ok=True)
        return killed + [name for name, well in zip(servers, ended, strict=True) if not well]

    def wipe(self) -> None:
        """Remove all data and logs of a stack that is down."""
        if self.records:
            msg = f"the stack {self.name} is running; stop it with `citynerve down` before its data is removed"
            raise Trouble(msg)
        for folder in (self.place.folder / "data", self.place.logs):
            remove_data(folder)

    def status(self) -> list[Status]:
        """Each server, and each service that was asked for: whether it runs, and whether it answers. Empty when down."""
        records = self.all_records()
        if not records:
            return []
        names = dict.fromkeys([*self.servers, *self._wanted(), *records])

        def ask(name: str) -> Status:
            if name not in records:
                return Status(name, 0, self._port(name), reason="not running")
            return self._status(records[name])

        with ThreadPoolExecutor(len(names)) as pool:
            return list(pool.map(ask, names))

    def want(self, services: Iterable[Service]) -> None:
        """Remember which services `up` was asked for, so that `status` misses them."""
        self._wanted_file.write_text("\n".join(service.name for service in services))

    @property
    def _wanted_file(self) -> Path:
        return self.place.run / "wanted"

    def _wanted(self) -> list[str]:
        return self._wanted_file.read_text().split() if self._wanted_file.exists() else []

    def _port(self, name: str) -> int:
        server = self.servers.get(name)
        port: int = getattr(self.ports, server.ports[0] if server else _service(name).port_name)
        return port

    def _status(self, record: ProcessRecord) -> Status:
        if not processes.is_alive(record):
            return Status(record.name, record.pid, record.port, reason="it ended without being stopped")
        server = self.servers.get(record.name)
        reason = server.probe(record.port) if server else services.probe(record.port)
        uptime_s = round(time.time() - record.started_at_s, 1)
        return Status(
            record.name, record.pid, record.port, alive=True, ready=reason is None, reason=reason, uptime_s=uptime_s
        )


def _service(name: str) -> Service:
    for service in (*SERVICES, services.SECOND_PROCESSOR):
        if service.name == name:
            return service
    msg = f"there is no service {name}"
    raise Trouble(msg)
