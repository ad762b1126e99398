"""A whole installation on one machine, below one directory.

| below the directory | what it is |
|---|---|
| secret | SECRET_KEY and JWT_SECRET_KEY, made at the first start; without it the stored credentials cannot be read |
| ports.json | the ports that were free at the first start |
| environment | the settings of this run, for `mypay doctor` and other commands beside it |
| demo.json | the demo merchant's key, and where everything is |
| prometheus.json | what to scrape, as Prometheus' file_sd_configs take it |
| postgres/ kafka/ valkey/ | the parts' data, and logs as below |
| simulators/ | the simulators' ledgers |
| cache/ | Kafka's jars |
| log/ | the processes' logs: this run's and, with `.1`, the former one's |
| lock, run.json | who runs it now |
"""

import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedValkey
from gateway.processes import Program, Progress, end_all_leftovers
from gateway.supervisor import ports, require_free, write_private

DATABASE: Final = "mypay"
PARTITIONS: Final = 4
ENVIRONMENT: Final = "environment"
_SECRETS: Final = ("SECRET_KEY", "JWT_SECRET_KEY")


class Installation(Struct, frozen=True, kw_only=True):
    """What `up` runs: the parts, the simulators' ports by provider, and the environment of our processes."""

    directory: Path
    port: int
    postgres: EmbeddedPostgres
    kafka: EmbeddedKafka
    valkey: EmbeddedValkey
    simulators: Mapping[str, int]
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the environment, which holds secrets."""
        return f"Installation({self.directory})"

    def write_environment(self) -> None:
        """Leave the settings where commands beside this run find them."""
        lines = [f"{name}='{value}'\n" for name, value in self.environment.items()]
        write_private(self.directory / ENVIRONMENT, "".join(lines).encode())

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Where the API and the worker tell their metrics."""
        ports = {"api": self.port, "worker": int(self.environment["WORKER_PORT"])}
        return {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}

    @property
    def simulator_urls(self) -> dict[str, str]:
        """Where each simulator listens."""
        return {name: f"http://127.0.0.1:{port}" for name, port in self.simulators.items()}

    def program(self, name: str, *arguments: str, grace_s: float) -> Program:
        """One of our own commands, as a supervised process."""
        return Program(
            name=name,
            argv=(sys.executable, "-m", "gateway.cli", *arguments),
            owner=self.directory,
            log=self.directory / "log" / f"{name}.log",
            env=self.environment,
            grace_s=grace_s,
        )


def plan(directory: Path, port: int, pace: float, say: Progress) -> Installation:
    """Decide what runs where. The first start makes the secrets, the ports and the database cluster.

    Raises `SupervisorError` with one sentence when a port is taken.
    """
    from providers.simulators import simulators as known_simulators

    end_all_leftovers(directory)  # they would hold our own ports
    require_free(port, "the API, choose another one with --port")
    of_simulators = {name: f"simulator {name}" for name in known_simulators()}
    chosen = ports(directory, ["postgres", "kafka", "kafka controller", "valkey", "worker", *of_simulators.values()])
    simulators = {name: chosen[label] for name, label in of_simulators.items()}
    postgres = EmbeddedPostgres(directory / "postgres", chosen["postgres"])
    kafka = EmbeddedKafka(directory / "kafka", chosen["kafka"], chosen["kafka controller"], directory / "cache")
    valkey = EmbeddedValkey(directory / "valkey", chosen["valkey"])
    _rotate([*(directory / "log").glob("*.log"), postgres.log, kafka.log, valkey.log])
    postgres.prepare(say)  # the addresses below contain the password that this makes
    return Installation(
        directory=directory,
        port=port,
        postgres=postgres,
        kafka=kafka,
        valkey=valkey,
        simulators=simulators,
        environment={
            **_secrets(directory / "secret"),
            "DATABASE_URI": postgres.uri(DATABASE),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(chosen["valkey"]),
            "PUBLIC_URL": os.environ.get("PUBLIC_URL") or f"http://localhost:{port}",
            "MYPAY_ENV": "development",
            "ALLOW_PRIVATE_TARGETS": "true",
            "API_PORT": str(port),
            "WORKER_PORT": str(chosen["worker"]),
            "SIMULATOR_URLS": ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in simulators.items()),
            "PACE": str(pace),
        },
    )


def _secrets(path: Path) -> dict[str, str]:
    """The installation's own keys, made at the first start."""
    if not path.exists():
        lines = [f"{name}={secrets.token_urlsafe(32)}\n" for name in _SECRETS]
        write_private(path, "".join(lines).encode())
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def _rotate(logs: Iterable[Path]) -> None:
    for log in logs:
        if log.exists() and log.name != "up.log":  # that one is ours, and open
            log.replace(log.with_suffix(".log.1"))
