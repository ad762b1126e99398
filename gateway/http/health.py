"""Liveness, readiness and metrics, for whoever runs this process."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.health import Check, may_read_metrics, readiness
from gateway.metrics import METRICS
from gateway.payments.errors import MyPayError
from gateway.store.gauges import Refresh


def routes(
    checks: Mapping[str, Check], *, metrics_token: str | None, refresh: Refresh | None = None
) -> list[HTTPRouteHandler]:
    """The handlers. `refresh` sets the gauges that are read from the database, and says whether it could."""

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
        if not may_read_metrics(request.headers.get("authorization", ""), metrics_token):
            raise MyPayError("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.")
        text = METRICS.expose(with_database=refresh is not None and await refresh())
        return Response(text, headers={**_NO_STORE, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return [live, ready, metrics]


_NO_STORE: Final = {"Cache-Control": "no-store"}
