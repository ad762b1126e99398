"""`mypay up` and `mypay down`: the installation of `gateway.installation`, started, shown and ended."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway import cli_migrate
from gateway import settings as settings_module
from gateway.embedded import check_platform
from gateway.installation import DATABASE, Installation, plan
from gateway.processes import ProcessError, end_all_leftovers, start_time, wait_ready
from gateway.seed import Demo, seed_demo
from gateway.settings import Settings
from gateway.supervisor import Supervisor, locked, record, running, write_private

CreateTopics = Callable[[Settings], Coroutine[object, object, None]]
T = TypeVar("T")

API_READY_TIMEOUT_S: Final = 60.0
DOWN_TIMEOUT_S: Final = 60.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(directory: Path, port: int, pace: float, create_topics: CreateTopics) -> int:
    """Start everything and keep it running until Ctrl-C or SIGTERM.

    Raises `ProcessError` or `SupervisorError` with one sentence when it cannot.
    """
    check_platform()
    directory = directory.resolve()
    supervisor = Supervisor(_say)
    with locked(directory), _stoppable():
        try:
            _start(plan(directory, port, pace, _say), supervisor, create_topics)
            record(directory, ready=True)
            supervisor.watch()
        except KeyboardInterrupt:
            _say("Stopping")
        finally:
            for number in _ENDING:  # the stop is bounded; a second Ctrl-C would only tear it
                signal.signal(number, signal.SIG_IGN)
            supervisor.stop()
    return 0


def down(directory: Path) -> int:
    """End the `up` of this directory, or what a killed one left behind, and say so."""
    found = running(directory)
    if found is not None:
        os.kill(found.pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        while start_time(found.pid) == found.started:
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"MyPay in {directory} (process {found.pid}) did not stop in {DOWN_TIMEOUT_S:.0f} s."
                )
            time.sleep(0.1)
        _say(f"MyPay in {directory} has stopped.")
    leftovers = end_all_leftovers(directory)
    if leftovers:
        _say(f"Ended {leftovers} processes of a killed run in {directory}.")
    if found is None and not leftovers:
        _say(f"MyPay does not run in {directory}.")
    return 0


def detach(directory: Path, arguments: Sequence[str]) -> int:
    """Run `up` with the same arguments in a session of its own; return once it is ready, or has failed."""
    log = directory / "log" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "gateway.cli", *(word for word in arguments if word != "--detach")]
    with log.open("wb") as output:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
    with log.open(encoding="utf-8") as lines:
        while child.poll() is None and not _is_ready(directory, child.pid):
            print(lines.read(), end="", flush=True)
            time.sleep(0.1)
        print(lines.read(), end="", flush=True)
    return child.returncode or 0


def _is_ready(directory: Path, pid: int) -> bool:
    found = running(directory)
    return found is not None and found.pid == pid and found.ready


# --- Starting ---------------------------------------------------------------------------------------------------------


def _start(installation: Installation, supervisor: Supervisor, create_topics: CreateTopics) -> None:
    """Everything at once, as far as one thing does not need another. Returns when the API is ready."""
    began = time.monotonic()
    environment = {**os.environ, **installation.environment}
    configured = settings_module.load(environment)
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
    _show(installation, shown, configured, time.monotonic() - began)


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


def _show(installation: Installation, demo: Demo, configured: Settings, took_s: float) -> None:
    """Write demo.json, and say how to begin."""
    shown = {
        **msgspec.structs.asdict(demo),
        "base_url": configured.public_url,
        "docs_url": f"{configured.public_url}/docs",
        "simulators": installation.simulator_urls,
    }
    file = installation.directory / "demo.json"
    write_private(file, msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
    simulators = "".join(f"\n  {name:<10}  {url}" for name, url in installation.simulator_urls.items())
    print(
        _READY.format(demo=demo, url=configured.public_url, file=file, simulators=simulators, took_s=took_s), flush=True
    )


_READY: Final = """
MyPay is ready after {took_s:.1f} s. Ctrl-C, or `mypay down`, stops it.

  API         {url}
  docs        {url}/docs
  demo key    {demo.api_key}
  details     {file}
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
