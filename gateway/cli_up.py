"""`mypay up`: the installation of `gateway.installation`, started, shown and kept running."""

import asyncio
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway import cli_migrate
from gateway import settings as settings_module
from gateway.embedded import check_platform
from gateway.installation import DATABASE, Installation, plan
from gateway.processes import wait_ready
from gateway.seed import Demo, seed_demo
from gateway.settings import Settings
from gateway.supervisor import Supervisor, locked, record, write_private

CreateTopics = Callable[[Settings], Coroutine[object, object, None]]
T = TypeVar("T")

API_READY_TIMEOUT_S: Final = 60.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(directory: Path, port: int, pace: float, create_topics: CreateTopics) -> int:
    """Start everything and keep it running until Ctrl-C or SIGTERM.

    Raises `ProcessError` or `SupervisorError` with one sentence when it cannot.
    """
    began = time.monotonic()
    check_platform()
    directory = directory.resolve()
    supervisor = Supervisor(_say)
    with locked(directory), _stoppable():
        try:
            installation = plan(directory, port, pace, _say)
            demo = _start(installation, supervisor, create_topics)
            _show(installation, demo, time.monotonic() - began)
            record(directory, ready=True)
            supervisor.watch()
        except KeyboardInterrupt:
            _say("Stopping")
        finally:
            for number in _ENDING:  # the stop is bounded; a second Ctrl-C would only tear it
                signal.signal(number, signal.SIG_IGN)
            supervisor.stop()
    return 0


# --- Starting ---------------------------------------------------------------------------------------------------------


def _start(installation: Installation, supervisor: Supervisor, create_topics: CreateTopics) -> Demo:
    """Everything at once, as far as one thing does not need another. Returns when the API is ready."""
    environment = {**os.environ, **installation.environment}
    configured = settings_module.load(environment)
    installation.write_environment()
    postgres, kafka, valkey = installation.postgres, installation.kafka, installation.valkey
    valkey.prepare(_say)
    wanted = [f"{name}={port}" for name, port in installation.simulators.items()]
    pace = ("--pace", installation.environment["PACE"])
    ledgers = ("--directory", str(installation.directory / "simulators"))
    supervisor.start(installation.program("simulators", "simulator", *wanted, *pace, *ledgers, grace_s=5))
    _say("Starting PostgreSQL, Kafka and Valkey")
    postgres_process, _ = supervisor.start(postgres.program(), valkey.program())
    demo = _in_background(lambda: _fill(installation, postgres_process, configured))
    kafka.prepare(_say)
    (kafka_process,) = supervisor.start(kafka.program())
    kafka.wait(kafka_process)
    asyncio.run(create_topics(configured))
    shown = demo.result()
    api = installation.program("api", "api", grace_s=15)
    worker = installation.program("worker", "worker", grace_s=25)
    _say("Starting the API and the worker")
    api_process, _ = supervisor.start(api, worker)
    wait_ready(api_process, api, lambda: _answers(installation.port), timeout_s=API_READY_TIMEOUT_S)
    return shown


def _fill(installation: Installation, process: subprocess.Popen[bytes], configured: Settings) -> Demo:
    """Create the database, its tables and the demo merchant, as far as they are missing."""
    installation.postgres.wait(process)
    installation.postgres.create_database(DATABASE)
    _say("Migrating the database")
    cli_migrate.run(configured.database_uri)
    return seed_demo(configured, existing=installation.directory / "demo.json")


def _in_background(work: Callable[[], T]) -> Future[T]:
    """Run it in a thread that Ctrl-C need not wait for."""
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return future


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closing terminal stop us as Ctrl-C does."""
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    yield


# --- Saying -----------------------------------------------------------------------------------------------------------


def _say(line: str) -> None:
    print(line, flush=True)


def _show(installation: Installation, demo: Demo, took_s: float) -> None:
    """Write demo.json, and say how to begin."""
    url = installation.environment["PUBLIC_URL"]
    shown = {
        **msgspec.structs.asdict(demo),
        "base_url": url,
        "docs_url": f"{url}/docs",
        "simulators": installation.simulator_urls,
        "metrics": installation.metrics_urls,
    }
    targets = [
        {"targets": [address.split("/")[2]], "labels": {"process": name}}
        for name, address in installation.metrics_urls.items()
    ]
    write_private(installation.directory / "prometheus.json", msgspec.json.format(msgspec.json.encode(targets)) + b"\n")
    file = installation.directory / "demo.json"
    write_private(file, msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
    simulators = "".join(f"\n  {name:<10}  {url}" for name, url in installation.simulator_urls.items())
    metrics = "  ".join(installation.metrics_urls.values())
    shown_text = _READY.format(demo=demo, url=url, file=file, simulators=simulators, metrics=metrics, took_s=took_s)
    print(shown_text, flush=True)


_READY: Final = """
MyPay is ready after {took_s:.1f} s. Ctrl-C, or `mypay down`, stops it.

  API         {url}
  docs        {url}/docs
  demo key    {demo.api_key}
  details     {file}
  metrics     {metrics}
{simulators}

A first payment:

curl -s {url}/v1/payments \\
  -H 'Authorization: Bearer {demo.api_key}' \\
  -H "Idempotency-Key: first-$(date +%s)" \\
  -H 'Prefer: wait=5' \\
  -H 'Content-Type: application/json' \\
  -d '{{"provider":"sandbox", "amount":15000, "currency":"LSL",
       "method":{{"type":"mobile_money", "phone":"+26658123000"}}}}'
"""
