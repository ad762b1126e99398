"""Strict JSON bodies (I-JSON, RFC 7493): raw bytes in, a typed Struct and the parsed value out, or one exact refusal.

One parser serves both the types and the fingerprint, so that the two can never see different bodies. An empty body is
`{}`, so that requests without required members need none.
"""

import asyncio
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.types import Scope
from msgspec import Struct

from gateway.canonical_json import canonical
from gateway.http import headers
from gateway.http.strict_json import parse
from gateway.http.violations import refused, violation
from gateway.payments import cards
from gateway.payments.errors import MyPayError

BODY_LIMIT: Final = 64 * 1024
READ_TIMEOUT_S: Final = 10.0  # for a whole body: a client that drips holds a connection, and nothing else
API_VERSION: Final = "1"  # part of every fingerprint

T = TypeVar("T", bound=Struct)


class Body(Struct, Generic[T], frozen=True):
    """A body that was read: `value` typed, `parsed` as plain JSON for the fingerprint."""

    value: T
    parsed: dict[str, Any]


async def read_json(request: Request[Any, Any, Any], model: type[T]) -> Body[T]:
    """The request's body as `model`, which should forbid unknown fields.

    Raises `body_too_large`, `unsupported_media_type`, `invalid_json`, `invalid_request` or `card_number_refused`,
    in this order.
    """
    raw = await read_bytes(request)
    if raw:
        _check_media_type(request.scope)
    return decode(raw or b"{}", model)


def decode(raw: bytes, model: type[T]) -> Body[T]:
    """Strict JSON as `model`. Raises `invalid_json`, `invalid_request` or `card_number_refused`."""
    parsed = parse(raw)
    try:
        value = msgspec.convert(parsed, model)
    except msgspec.ValidationError as error:
        raise refused(violation(error, parsed, model)) from None
    cards.refuse(parsed)
    return Body(value, parsed)


def fingerprint(method: str, route_template: str, path_params: Mapping[str, object], value: object) -> bytes:
    """What makes two requests the same: SHA-256 over method, route, parameters, API version and the canonical body."""
    params = {name: str(param) for name, param in path_params.items()}
    parts = [method.encode(), route_template.encode(), canonical(params), API_VERSION.encode(), canonical(value)]
    return sha256(b"\n".join(parts)).digest()


def fingerprint_of(request: Request[Any, Any, Any], body: Body[Any]) -> bytes:
    """The fingerprint of a request and its body; headers, `Prefer` included, have no part in it."""
    scope = request.scope
    return fingerprint(scope["method"], scope["path_template"], scope["path_params"], body.parsed)


async def read_bytes(request: Request[Any, Any, Any]) -> bytes:
    """The raw body, at most the route's `request_max_body_size` bytes, whatever the client announced.

    Raises `body_too_large`, or `invalid_request` when the body does not arrive.
    """
    limit = request.route_handler.resolve_request_max_body_size() or BODY_LIMIT
    announced = next(iter(headers.values(request.scope, b"content-length")), b"")
    length = int(announced) if announced.isdigit() else None
    if length is not None and length > limit:
        raise MyPayError("body_too_large")
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await _received(request, limit, length)
    except TimeoutError:
        raise MyPayError("invalid_request", f"The body did not arrive within {READ_TIMEOUT_S:.0f} seconds.") from None


async def _received(request: Request[Any, Any, Any], limit: int, length: int | None) -> bytes:
    """Chunks up to the end; the server's empty last message is not waited for once `length` bytes are there."""
    body = b""
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise MyPayError("invalid_request", "The connection ended before the body did.")
        body += message["body"]
        if len(body) > limit:
            raise MyPayError("body_too_large")
        if not message["more_body"] or len(body) == length:
            return body


_MEDIA_TYPE: Final = re.compile(rb"""application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*""", re.IGNORECASE)


def _check_media_type(scope: Scope) -> None:
    declared = headers.values(scope, b"content-type")
    encodings = headers.values(scope, b"content-encoding")
    if len(declared) != 1 or _MEDIA_TYPE.fullmatch(declared[0]) is None:
        raise MyPayError("unsupported_media_type")
    if any(encoding.strip().lower() != b"identity" for encoding in encodings):
        raise MyPayError("unsupported_media_type", "A body with a Content-Encoding is not accepted.")
