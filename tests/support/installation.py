"""A whole installation for a test: API, workers and simulators as real processes, on the parts of the run.

It has a database, topics and simulators of its own, so that any number can run side by side::

    with installation(parts, tmp_path, workers=2) as mypay:
        answer = httpx.post(f"{mypay.base_url}/v1/payments", headers=mypay.headers("key-1"), json={...})
        mypay.processes["worker-1"].kill()
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway import settings as settings_module
from gateway.processes import ProcessError, Program, end, free_port, log_tail, spawn
from gateway.seed import seed_demo
from providers.simulators import simulators as known_simulators
from streams.topics import create_topics
from tests.support.parts import Parts, fresh_database

READY_TIMEOUT_S = 90  # the machine may be busy


class Handle:
    """One process of an installation, with its children."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] = spawn(program)

    @property
    def log(self) -> str:
        """What it has written."""
        return self.program.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Freeze it, until `cont`."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End it in order (SIGTERM), and then by force."""
        self.cont()
        end(self.process, self.program)

    def restart(self) -> None:
        """Start it again, ending it in order if it runs."""
        self.end()
        self.process = spawn(self.program)

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)  # it leads its session; granian's own processes belong to it


class Installation:
    """Use `installation`. `environment` overrides any setting; `pace` multiplies the providers' durations."""

    def __init__(
        self,
        parts: Parts,
        database_uri: str,
        directory: Path,
        *,
        api_processes: int = 1,
        workers: int = 1,
        simulators: bool = True,
        pace: float = 0.05,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory, self._workers, self._pace = directory, workers, pace
        self.processes: dict[str, Handle] = {}
        self.worker_urls: dict[str, str] = {}
        self._ports = {name: free_port() for name in known_simulators()} if simulators else {}
        self.simulators = {name: f"http://127.0.0.1:{port}" for name, port in self._ports.items()}
        port = free_port()
        self.base_url = f"http://127.0.0.1:{port}"
        self.environment = {
            "SECRET_KEY": "s" * 43,
            "JWT_SECRET_KEY": "j" * 43,
            "DATABASE_URI": database_uri,
            "KAFKA_BOOTSTRAP_SERVERS": parts.kafka_bootstrap,
            "KAFKA_PREFIX": f"test-{uuid.uuid4().hex[:12]}.",
            "KAFKA_PARTITIONS": "4",
            "REDIS_HOST": parts.redis_host,
            "REDIS_PORT": str(parts.redis_port),
            "PUBLIC_URL": self.base_url,
            "MYPAY_ENV": "development",
            "ALLOW_PRIVATE_TARGETS": "true",
            "API_PORT": str(port),
            "API_PROCESSES": str(api_processes),
            "SIMULATOR_URLS": ",".join(f"{name}={url}" for name, url in self.simulators.items()),
            "PACE": str(pace),
            **(environment or {}),
        }
        self.settings = settings_module.load(self.environment, env_file=directory / "no.env")
        demo = seed_demo(self.settings)
        self.api_key, self.accounts = demo.api_key, demo.accounts
        self.email, self.password = demo.email, demo.password

    def open(self) -> None:
        """Start every process and wait until they are ready."""
        asyncio.run(create_topics(self.settings))
        if self._ports:
            wanted = [f"{name}={port}" for name, port in self._ports.items()]
            options = ("--pace", str(self._pace), "--directory", str(self.directory))
            self.start("simulators", "simulator", *wanted, *options)
        self.start("api", "api")
        for number in range(1, self._workers + 1):
            self.start(f"worker-{number}", "worker")
        self.wait_ready(workers=self._workers > 0)

    def start(self, name: str, *command: str) -> Handle:
        """Start one more process, such as `start("relay", "worker", "--roles", "relay")`.

        Every worker tells how it is at `worker_urls[name]`.
        """
        environment = self.environment
        if command[0] == "worker":
            port = free_port()
            self.worker_urls[name] = f"http://127.0.0.1:{port}"
            environment = {**environment, "WORKER_PORT": str(port)}
        program = Program(
            name=name,
            argv=(sys.executable, "-m", "gateway.cli", *command),
            owner=self.directory,
            log=self.directory / f"{name}.log",
            env=environment,
        )
        self.processes[name] = Handle(program)
        return self.processes[name]

    def headers(self, key: str | None = None, **more: str) -> dict[str, str]:
        """The headers of the demo merchant's request; `key` is its idempotency key (default: a new one)."""
        return {"Authorization": f"Bearer {self.api_key}", "Idempotency-Key": key or uuid.uuid4().hex, **more}

    def health(self) -> dict[str, Any] | None:
        """The body of /health/ready, or None while the API does not answer."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return None

    def wait_ready(self, *, workers: bool = True) -> None:
        """Wait until the API is ready and, unless `workers` is False, a worker leads the relay."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._is_ready(workers=workers):
            for handle in self.processes.values():
                if handle.process.poll() is not None or time.monotonic() > deadline:
                    raise ProcessError(f"{handle.program.name} is not ready.{log_tail(handle.program.log)}")
            time.sleep(0.05)

    def _is_ready(self, *, workers: bool) -> bool:
        health = self.health()
        if health is None or health["status"] == "unavailable":
            return False
        return not workers or health["checks"]["workers"] == "ok"

    def close(self) -> None:
        """End every process, the last started first."""
        for handle in reversed(self.processes.values()):
            handle.end()


@contextmanager
def installation(parts: Parts, directory: Path, **options: Any) -> Iterator[Installation]:
    """A running installation with a fresh database; the options are those of `Installation`."""
    with fresh_database(parts) as database_uri:
        made = Installation(parts, database_uri, directory, **options)
        try:
            made.open()
            yield made
        finally:
            made.close()
