"""What a worker tells over HTTP: /health/live, /health/ready, /metrics, on WORKER_PORT.

A thread of its own answers, so that a loop that hangs is reported rather than waited for.

| | 200 | 503 |
|---|---|---|
| /health/live | everything moves | the loop hangs, a consumer stopped polling, a role goes no more rounds: restart it |
| /health/ready | PostgreSQL and Kafka answer | one of them does not, or the loop hangs |
"""

import asyncio
import threading
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, TypeVar

import msgspec
import structlog
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.health import Check, Readiness, may_read_metrics, readiness
from gateway.metrics import METRICS
from gateway.settings import Settings
from gateway.store.gauges import Refresh
from streams.pulse import LOOP_LIMIT_S, PART_LIMIT_S, Moving, Pulse, stuck

LOOP_PATIENCE_S: Final = 5.0  # for an answer out of the loop
IDLE_S: Final = 10.0  # a connection that says nothing is closed

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What is answered to a GET."""

    status: HTTPStatus
    content: bytes
    kind: str = "application/json"


class Monitor:
    """Answers for the worker whose event loop makes it; `loop` beats in that loop, and `parts` are its parts."""

    def __init__(
        self,
        settings: Settings,
        *,
        loop: Pulse,
        parts: Sequence[Moving],
        checks: Mapping[str, Check],
        refresh: Refresh | None = None,
    ) -> None:
        self._token, self._checks, self._refresh = settings.metrics_token, checks, refresh
        self._parts, self._loop_pulse, self._loop = parts, loop, asyncio.get_running_loop()
        self._address = (settings.worker_host, settings.worker_port)
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "it was started"
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises `OSError` when it cannot."""
        self._server = _Server(self._address, _handler(self))
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    # --- In the server's threads --------------------------------------------------------------------------------------

    def answer(self, path: str, authorization: str) -> Answer:
        """What is said about a path."""
        if path == "/health/live":
            return self._live()
        if path == "/health/ready":
            return self._ready()
        if path == "/metrics":
            allowed = may_read_metrics(authorization, self._token)
            return self._metrics() if allowed else Answer(HTTPStatus.UNAUTHORIZED, b"{}")
        return Answer(HTTPStatus.NOT_FOUND, b"{}")

    def _live(self) -> Answer:
        found = stuck([self._loop_pulse], LOOP_LIMIT_S)
        parts = stuck(self._parts, PART_LIMIT_S)
        if parts and not found and self._is_postgres_there():
            found = parts
        body = msgspec.json.encode({"status": "unavailable" if found else "ok", "stuck": found})
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK, body)

    def _is_postgres_there(self) -> bool:
        found = self._in_loop(readiness({"postgres": self._checks["postgres"]}))
        return found is not None and found.status == "ok"

    def _ready(self) -> Answer:
        unknown = Readiness("unavailable", dict.fromkeys(self._checks, "unavailable"))
        found = self._in_loop(readiness(self._checks)) or unknown
        status = HTTPStatus.SERVICE_UNAVAILABLE if found.status == "unavailable" else HTTPStatus.OK
        return Answer(status, msgspec.json.encode(found))

    def _metrics(self) -> Answer:
        for part in (self._loop_pulse, *self._parts):
            METRICS.silent_seconds.labels(part=part.name).set(part.silent_s or 0.0)
        with_database = self._refresh is not None and self._in_loop(self._refresh()) is True
        return Answer(HTTPStatus.OK, METRICS.expose(with_database=with_database), CONTENT_TYPE_PLAIN_0_0_4)

    def _in_loop(self, work: Awaitable[T]) -> T | None:
        """Have the loop do it; None when it does not in time."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)
        try:
            return future.result(LOOP_PATIENCE_S)
        except TimeoutError:
            future.cancel()
            return None


async def _awaited(work: Awaitable[T]) -> T:
    return await work


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to talk about."""
        log.debug("monitor.client_gone", exc_info=True)


def _handler(monitor: Monitor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_S
        server_version, sys_version = "mypay", ""

        def do_GET(self) -> None:
            said = monitor.answer(self.path.partition("?")[0], self.headers.get("authorization", ""))
            self.send_response(said.status)
            self.send_header("Content-Type", said.kind)
            self.send_header("Content-Length", str(len(said.content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(said.content)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not logged."""

    return Handler
