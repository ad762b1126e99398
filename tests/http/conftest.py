"""The application of app.py under granian, on a socket."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway import keys
from tests.http.wire import Wire

ROOT = Path(__file__).parents[2]
START_S = 90.0  # the machine may be busy


@pytest.fixture(scope="session")
def api_key() -> str:
    """A key that the application knows."""
    return keys.make(livemode=False)


@pytest.fixture(scope="session")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers log."""
    return tmp_path_factory.mktemp("http") / "log"


@pytest.fixture(scope="session")
def start(api_key: str, log_file: Path) -> Iterator[Callable[..., Wire]]:
    """Start a server with further environment variables; it is stopped at the end of the session."""
    common = {"TEST_API_KEY": api_key, "TEST_LOG_FILE": str(log_file)}
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(_server({**common, **environ}))


@pytest.fixture(scope="session")
def wire(start: Callable[..., Wire]) -> Wire:
    """Requests to the server that most tests share."""
    return start()


@contextmanager
def _server(environ: dict[str, str]) -> Iterator[Wire]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--http", "1"]
    command += ["--log-level", "warning", "--host", "127.0.0.1", "--port", str(port), "tests.http.app:app"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Wire(port, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")
