"""The outermost layer: whose request it is, how long it took (Server-Timing), what is left (RateLimit), the access log.

Plain ASGI around the whole application, so that answers to unknown paths carry the same headers. Each request must run
in a task of its own (granian's default), or the context variable would be shared.
"""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from gateway import addresses, ids, telemetry, timings
from gateway.addresses import Network
from gateway.http import headers
from gateway.http.access_log import AccessLine, AccessLog
from gateway.logs import scrub
from gateway.metrics import METRICS
from gateway.rates import Taken
from gateway.telemetry import REQUEST_ID, TRACEPARENT, Origin

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNTRACED: Final = frozenset({"/metrics", "/health/live", "/health/ready"})


class Current(Struct, kw_only=True):
    """What is known about the request that this task serves; `code` and `status` once it is answered.

    `ip` is the client's address as trusted proxies saw it; `rate` what was taken of the caller's limits.
    """

    request_id: str
    traceparent: str | None = None  # W3C Trace Context, as received: passed on, not interpreted
    ip: str | None = None
    rate: Taken | None = None
    merchant: str | None = None
    payment: str | None = None
    code: str | None = None
    status: int = 0


_CURRENT: Final[ContextVar[Current]] = ContextVar("request")


def current() -> Current:
    """The request that this task serves. Raises `LookupError` outside of one."""
    return _CURRENT.get()


def is_about(payment: str) -> None:
    """This request is about that payment or payout: every line of its log says so from here on."""
    current().payment = payment
    structlog.contextvars.bind_contextvars(payment=payment)


class RequestContext:
    """ASGI middleware that gives every request its context, and every answer its headers.

    `trusted` are the proxies whose `X-Forwarded-For` is believed.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = ()) -> None:
        self._app, self._trusted = app, trusted
        self._log = AccessLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log one line about it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request = _identified(scope)
        request.ip = self._client(scope)
        _CURRENT.set(request)
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        telemetry.set_origin(Origin(request.traceparent, request.request_id))
        spent = timings.start()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                timing = _server_timing(time.perf_counter() - started, spent)
                identity = (b"request-id", request.request_id.encode())
                message["headers"] = [*message["headers"], identity, (b"server-timing", timing), *_left(request.rate)]
            await send(message)

        try:
            if telemetry.is_on() and scope["path"] not in UNTRACED:
                await _traced(self._app, scope, receive, send_with_headers, request)
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            _count(scope, request, time.perf_counter() - started)
            self._log.write(_line(scope, request, time.perf_counter() - started))

    def _client(self, scope: HTTPScope) -> str | None:
        peer = scope["client"][0] if scope["client"] else None
        if not self._trusted:
            return peer
        return addresses.client(peer, headers.values(scope, b"x-forwarded-for"), self._trusted)


async def _traced(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send, request: Current) -> None:
    """Serve the request within a span. Its name is the route's: a path may hold a token."""
    with telemetry.span(scope["method"], "server") as span:
        try:
            await app(scope, receive, send)
        finally:
            route = scope.get("path_template", "-")
            span.rename(f"{scope['method']} {route}")
            span.set(
                {
                    "http.request.method": scope["method"],
                    "http.route": route,
                    "http.response.status_code": request.status,
                    "mypay.request": request.request_id,
                    "mypay.merchant": request.merchant,
                    "mypay.payment": request.payment,
                }
            )
            if request.status >= 500:
                span.fail(request.code or "error")


def _count(scope: HTTPScope, request: Current, seconds: float) -> None:
    method = scope["method"] if scope["method"] in METHODS else "other"  # a client may write anything
    route, status = scope.get("path_template", "-"), f"{request.status // 100}xx"
    METRICS.requests.labels(method=method, route=route, status=status).observe(seconds)


def _left(rate: Taken | None) -> list[tuple[bytes, bytes]]:
    """What the caller has left (draft-ietf-httpapi-ratelimit-headers); nothing where nothing is limited."""
    if rate is None:
        return []
    return [
        (b"ratelimit", b'"default";r=%d;t=%d' % (rate.left, rate.full_in)),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (rate.bucket.quota, rate.bucket.window_s)),
    ]


def _identified(scope: Scope) -> Current:
    """The client's own request id is kept where it is harmless; anything else is replaced, never refused."""
    request_id, traceparent = None, None
    for name, value in scope["headers"]:
        if name == b"request-id" and _is_harmless(text := value.decode("latin-1")):
            request_id = text
        elif name == b"traceparent" and TRACEPARENT.fullmatch(text := value.decode("latin-1")):
            traceparent = text
    return Current(request_id=request_id or ids.show(ids.REQUEST, ids.new()), traceparent=traceparent)


def _is_harmless(text: str) -> bool:
    """Whether it is a name, and no credential or card number that somebody has sent by mistake."""
    return REQUEST_ID.fullmatch(text) is not None and scrub(text) == text


def _server_timing(total_s: float, spent: timings.Timings) -> bytes:
    """Milliseconds (Server Timing, W3C): all of it, and the parts spent in the database and in the accept queue."""
    return b"app;dur=%.1f, db;dur=%.1f, queue;dur=%.1f" % (total_s * 1e3, spent.db_s * 1e3, spent.queue_s * 1e3)


def _line(scope: HTTPScope, request: Current, seconds: float) -> AccessLine:
    return AccessLine(
        timestamp=datetime.now(UTC),
        request_id=request.request_id,
        merchant=request.merchant,
        payment=request.payment,
        method=scope["method"],
        route=scope.get("path_template", "-"),  # set by the router; an unknown path is not worth its bytes
        status=request.status,
        code=request.code,
        ms=round(seconds * 1e3, 1),
    )
