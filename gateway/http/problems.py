"""Every error as RFC 9457 `application/problem+json`, and a page for each code; nothing else ever leaves.

    MyPayError                       itself
    HTTPException of Litestar        the code of its status (404, 405 with Allow, 413, …)
    ValidationException              invalid_request, with pointers
    UnicodeDecodeError, RecursionError  invalid_request: only a request can provoke them
    a lost or refusing database      unavailable; accept_unknown where something may have been written
    anything else                    internal_error: logged with its stack, told nothing about

What granian answers before any of our code runs has an empty body and closes the connection: 400 (no HTTP at all, a bad
or repeated Content-Length, a control character in a header), 414 (path over 64 KiB), 431 (over 100 headers, or more
than about 500 KiB of them).
"""

from typing import Any, Final

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, Struct, UnsetType

from gateway.http.context import current
from gateway.http.violations import escaped
from gateway.payments.errors import PROBLEMS, Code, FieldError, MyPayError, NoRoute, Refusal
from gateway.store.database import CONNECTION_LOST, TRY_AGAIN

MEDIA_TYPE: Final = "application/problem+json"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UNREADABLE: Final = (UnicodeDecodeError, RecursionError)

_CODES: Final[dict[int, Code]] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}

log = structlog.get_logger("gateway.http")


class Problem(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not 2xx or 3xx (RFC 9457). `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: Code
    request_id: str
    errors: tuple[FieldError, ...] | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET
    accounts: tuple[Refusal, ...] | UnsetType = UNSET


def handlers(public_url: str) -> ExceptionHandlersMap:
    """Litestar's exception handlers; `public_url` is where the pages of the codes are found."""

    def handler(request: Request[Any, Any, Any], exception: Exception) -> Response[bytes]:
        error = as_error(exception, request.method)
        if error is not exception and error.status >= 500:
            log.error("request.failed", code=error.code, exc_info=exception)
        return render(error, public_url, getattr(exception, "headers", None))

    return dict.fromkeys((MyPayError, HTTPException, *_UNREADABLE, *CONNECTION_LOST, Exception), handler)


def as_error(exception: Exception, method: str) -> MyPayError:
    """What a client is told about an exception that ended a request with this HTTP method."""
    match exception:
        case MyPayError():
            return exception
        case ValidationException():
            return MyPayError("invalid_request", errors=_pointed(exception))
        case HTTPException():
            code = _CODES.get(
                exception.status_code, "internal_error" if exception.status_code >= 500 else "invalid_request"
            )
            return MyPayError(code, exception.detail if code == "invalid_request" else None)
        case UnicodeDecodeError() | RecursionError():
            return MyPayError("invalid_request", "The request cannot be read.")
    if isinstance(exception, asyncpg.PostgresError) and exception.sqlstate in TRY_AGAIN:
        return MyPayError("unavailable")  # the database has undone what the request did
    if isinstance(exception, CONNECTION_LOST):
        return MyPayError("unavailable" if method in _SAFE else "accept_unknown")
    return MyPayError("internal_error")


def render(error: MyPayError, public_url: str, more_headers: dict[str, str] | None = None) -> Response[bytes]:
    """The answer to a request that ended with `error`."""
    request = current()
    request.code = error.code
    problem = Problem(
        type=f"{public_url}/errors/{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request.request_id,
        errors=error.errors or UNSET,
        retry_after=UNSET if error.retry_after_s is None else error.retry_after_s,
        accounts=error.refusals if isinstance(error, NoRoute) else UNSET,
    )
    headers = {"Cache-Control": "no-store", "Content-Language": "en", **(more_headers or {})}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == PROBLEMS["unauthorized"].status:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(problem), status_code=error.status, headers=headers, media_type=MEDIA_TYPE)


def _pointed(exception: ValidationException) -> list[FieldError]:
    """Litestar's own findings about path and query parameters."""
    found = exception.extra if isinstance(exception.extra, list) else []
    return [
        FieldError(escaped(str(each.get("key", ""))), "invalid", "This is not a value allowed here.") for each in found
    ]
