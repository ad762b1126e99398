"""/api/v1/payments/…: the paths of the service that this one replaces. They move nothing; they say where to go.

What reads is redirected (308: method and credentials stay, `X-API-Key` too). What takes a payment is refused: amounts
were major units there and are minor units here, so that a request passed on as it is could charge a hundredth, or a
hundred times. `Deprecation` is RFC 9745's, `successor-version` RFC 5829's.
"""

from datetime import UTC, datetime
from typing import Any, Final

from litestar import Request, Response, get, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway import ids
from gateway.http import problems
from gateway.payments.errors import MyPayError

DEPRECATED: Final = datetime(2026, 11, 1, tzinfo=UTC)
INITIALIZE: Final = (
    "Send POST /v1/payments instead: `amount` in minor units (150.00 is 15000), the phone in `method`, "
    "and an Idempotency-Key, which is required."
)


def routes(public_url: str) -> list[HTTPRouteHandler]:
    """The handlers; `public_url` is where clients reach us."""

    @route("/api/v1/payments/initialize", http_method=["POST"])
    async def initialize(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take no payment."""
        return problems.render(MyPayError("gone", INITIALIZE), public_url, _headers("/v1/payments"))

    @get("/api/v1/payments/{payment_id:str}")
    async def read(payment_id: FromPath[str]) -> Response[bytes]:
        """The payment is elsewhere."""
        return _moved(public_url, payment_id)

    @route("/api/v1/payments/{payment_id:str}/verify", http_method=["GET", "POST"])
    async def verify(request: Request[Any, Any, Any], payment_id: FromPath[str]) -> Response[bytes]:
        """Asking is elsewhere; a GET, which must change nothing, is shown the payment."""
        return _moved(public_url, payment_id, "/verify" if request.method == "POST" else "")

    return [initialize, read, verify]


def _headers(successor: str) -> dict[str, str]:
    return {
        "Deprecation": f"@{int(DEPRECATED.timestamp())}",
        "Link": f'<{successor}>; rel="successor-version", </errors/gone>; rel="deprecation"; type="text/html"',
    }


def _moved(public_url: str, payment_id: str, then: str = "") -> Response[bytes]:
    if ids.read(ids.PAYMENT, payment_id) is None:  # the former service's ids are UUIDs, and its payments are there
        unknown = MyPayError("not_found", "There is no such payment: payments of the former service were not moved.")
        return problems.render(unknown, public_url, _headers("/v1/payments"))
    path = f"/v1/payments/{payment_id}{then}"
    return Response(b"", status_code=308, headers={"Location": path, **_headers(path)})
