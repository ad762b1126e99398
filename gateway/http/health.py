"""Liveness, readiness and metrics, for whoever runs this process."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
import structlog
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.metrics import METRICS
from gateway.payments.errors import MyPayError
from gateway.store.database import CONNECTION_LOST

PROBE_TIMEOUT_S: Final = 1.0

Word: TypeAlias = Literal["ok", "degraded", "unavailable"]
Probe: TypeAlias = Callable[[], Awaitable[None]]

log = structlog.get_logger("gateway.http")


class Check(Struct, frozen=True, kw_only=True):
    """A part that this process uses. `probe` raises when it is away; without a `required` one we take no work."""

    probe: Probe
    required: bool = False


class Readiness(Struct, frozen=True):
    """The body of /health/ready."""

    status: Word
    checks: dict[str, Word]


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Probe all parts at once, for at most `PROBE_TIMEOUT_S`; a probe that is late is not waited for, even to end."""
    probes = {name: asyncio.ensure_future(check.probe()) for name, check in checks.items()}
    _, late = await asyncio.wait(probes.values(), timeout=PROBE_TIMEOUT_S)
    words = {name: _word(name, checks[name], _result(probe)) for name, probe in probes.items()}
    for probe in late:
        probe.cancel()
        probe.add_done_callback(_result)
    worst: tuple[Word, ...] = ("unavailable", "degraded", "ok")
    return Readiness(next(word for word in worst if word in words.values() or word == "ok"), words)


def _result(probe: asyncio.Future[None]) -> BaseException | None:
    """What a probe came to; asked for, so that asyncio does not report what nobody looked at."""
    if not probe.done():
        return TimeoutError()
    return asyncio.CancelledError() if probe.cancelled() else probe.exception()


def _word(name: str, check: Check, result: BaseException | None) -> Word:
    if result is None:
        return "ok"
    log.warning("health.failed", part=name, error=repr(result))
    return "unavailable" if check.required else "degraded"


def routes(
    checks: Mapping[str, Check], *, metrics_token: str | None, refresh: Probe | None = None
) -> list[HTTPRouteHandler]:
    """The handlers. `refresh` sets the gauges that are read from the database, before they are shown."""

    @get("/health/live", operation_id="getLiveness", tags=["health"], sync_to_thread=False)
    def live() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "ok"}

    @get("/health/ready", operation_id="getReadiness", tags=["health"])
    async def ready() -> Response[bytes]:
        """Whether the process can take work, and how each part it needs is."""
        found = await readiness(checks)
        status = 503 if found.status == "unavailable" else 200
        return Response(
            msgspec.json.encode(found), status_code=status, media_type="application/json", headers=_NO_STORE
        )

    @get("/metrics", operation_id="getMetrics", tags=["health"])
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The metrics in Prometheus' text format."""
        if metrics_token is not None and not _is_allowed(request, metrics_token):
            raise MyPayError("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.")
        try:
            if refresh is not None:
                await refresh()
        except CONNECTION_LOST as error:  # the counters of this process are wanted most while the database is away
            log.warning("metrics.stale", error=repr(error))
        return Response(
            generate_latest(METRICS.registry), headers={**_NO_STORE, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    return [live, ready, metrics]


_NO_STORE: Final = {"Cache-Control": "no-store"}


def _is_allowed(request: Request[Any, Any, Any], token: str) -> bool:
    sent = request.headers.get("authorization", "")
    return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())
