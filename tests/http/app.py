"""An application of test routes, wired as the real one is; started by conftest.py as a process of its own."""

import os
from collections.abc import Callable
from typing import Any, cast

import asyncpg
import msgspec
from litestar import Litestar, Request, Response, Router, get, post, route
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from gateway import ids, keys, logs, timings
from gateway.health import Check
from gateway.http import json_body, prefer
from gateway.http.auth import KeyCache, authentication
from gateway.http.context import RequestContext, current
from gateway.http.cursors import AfterId, PageQuery, decode, page, read_query
from gateway.http.idempotency import required_key
from gateway.http.json_body import fingerprint_of, read_bytes, read_json
from gateway.http.wiring import base_kwargs, base_routes
from gateway.payments.errors import Code, MyPayError, NoRoute, Refusal
from gateway.payments.requests import CreatePayment
from gateway.store.directory import ApiKeyRow

PUBLIC_URL = "https://pay.example/"
KEY = os.environ["TEST_API_KEY"]
json_body.READ_TIMEOUT_S = 1.0  # type: ignore[misc]  # or the test of a dripping client would take ten


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    note: str | None = None


class FreeForm(Struct, frozen=True, forbid_unknown_fields=True):
    value: Any


class ThingQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    status: tuple[str, ...] = ()
    amount: int | None = None


ERRORS: dict[str, Callable[[], Exception]] = {
    "bug": lambda: ValueError("the secret is 42"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "recursion": lambda: RecursionError("too deep"),
    "connection": lambda: asyncpg.ConnectionDoesNotExistError("gone"),
    "starting": lambda: asyncpg.CannotConnectNowError("starting"),
    "timeout": TimeoutError,
    "no_route": lambda: NoRoute([Refusal("acc_1", "currency")]),
}


@post("/v1/payments")
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    key = required_key(request.scope)
    body = await read_json(request, CreatePayment)
    seen = {"key": key, "body": body.parsed, "fingerprint": fingerprint_of(request, body).hex()}
    wait_s = prefer.wait_s(request.scope)
    return Response(msgspec.json.encode({**seen, "wait": wait_s}), status_code=201, headers=prefer.applied(wait_s))


@post("/v1/payments/{payment_id:str}/verify", status_code=200)
async def verify(request: Request[Any, Any, Any], payment_id: FromPath[str]) -> dict[str, Any]:
    body = await read_json(request, Nothing)
    return {"body": body.parsed, "fingerprint": fingerprint_of(request, body).hex()}


@post("/v1/free", status_code=200)
async def free(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return (await read_json(request, FreeForm)).parsed


@post("/callbacks/{token:str}", status_code=200, request_max_body_size=1024 * 1024)
async def callback(request: Request[Any, Any, Any], token: FromPath[str]) -> dict[str, int]:
    return {"bytes": len(await read_bytes(request))}


@get("/v1/payments")
async def listing(request: Request[Any, Any, Any]) -> Response[bytes]:
    query = read_query(request.scope, ThingQuery)
    after = None if query.after is None else decode(AfterId, query.after)
    items = [msgspec.json.encode({"status": status}) for status in query.status]
    following = AfterId(after.id if after else ids.NIL)
    return Response(page(items, has_more=True, following=following), media_type="application/json")


@get("/v1/problem/{code:str}")
async def refuse(code: FromPath[str]) -> None:
    raise MyPayError(cast(Code, code))


@route("/v1/fail/{kind:str}", http_method=["GET", "POST"], status_code=200)
async def fail(kind: FromPath[str]) -> None:
    raise ERRORS[kind]()


@get("/v1/context")
async def context(request: Request[Any, Any, Any], number: FromQuery[int] = 0) -> dict[str, Any]:
    timings.add(db_s=0.0125, queue_s=0.25)
    return {"request_id": current().request_id, "traceparent": current().traceparent, "number": number}


@get("/v1/whoami")
async def whoami(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return dict(msgspec.to_builtins(request.user))


async def find_key(digest: bytes) -> ApiKeyRow | None:
    if digest != keys.digest(KEY):
        return None
    return ApiKeyRow(id=ids.NIL, merchant_id=ids.NIL, livemode=False, revoked_at=None, key_hash=digest)


async def present() -> None:
    return None


async def away() -> None:
    raise ConnectionError


async def without_database() -> bool:
    return False


def create_app() -> RequestContext:
    """The application; `TEST_POSTGRES` = away makes a required part fail."""
    postgres = away if os.environ.get("TEST_POSTGRES") == "away" else present
    checks = {"postgres": Check(probe=postgres, required=True), "redis": Check(probe=away)}
    merchants = Router(path="", route_handlers=[whoami], middleware=[authentication(KeyCache(find_key))])
    public: list[ControllerRouterHandler] = [create, verify, free, callback, listing, refuse, fail, context, merchants]
    base = base_routes(checks, metrics_token="scrape", refresh=without_database)
    litestar = Litestar(route_handlers=[*public, *base], openapi_config=None, **base_kwargs(PUBLIC_URL))
    return RequestContext(litestar)


logs.configure(os.environ["TEST_LOG_FILE"])
app = create_app()
