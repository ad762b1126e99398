"""What accepting is compared with: the same Litestar stack, authentication and validation, with

* `ceiling`: no database at all (after the key has been read once), and
* `transaction`: a plain transaction per request (BEGIN, four inserts, COMMIT) on a pool of 16.

What reading is compared with: `select`, a plain select by primary key.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from litestar import Litestar, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from gateway import ids, settings
from gateway.clock import Clock
from gateway.http.auth import KeyCache, authentication
from gateway.http.context import RequestContext
from gateway.http.idempotency import required_key
from gateway.http.json_body import fingerprint_of, read_json
from gateway.http.wiring import base_kwargs
from gateway.payments import drafts, views
from gateway.payments.requests import CreatePayment
from gateway.routing.choose import choose
from gateway.server import settle_memory
from gateway.services import Accounts
from gateway.store import directory
from gateway.store.accept import NewPayment
from gateway.store.database import Pool, create_pool
from gateway.usecases.create_payment import chosen, prepare

POOL = 16
BY_KEY = "select id from payments where lp = $1 and id = $2"


async def _prepared(request: Request[Any, Any, State]) -> NewPayment:
    """All that our handler does before it queues: authentication, strict body, rules, routing, rows, bytes."""
    key = required_key(request.scope)
    body = await read_json(request, CreatePayment)
    user = request.user
    draft = drafts.payment(body.value, user.livemode)
    known: Accounts = request.app.state.accounts
    accounts = await known.of(user.merchant_id, user.livemode)
    route = choose(draft.wanted, accounts, await known.rules(user.merchant_id, user.livemode))
    account = chosen(route, draft.wanted, accounts)
    payment_id = ids.new(ids.logical_partition(user.merchant_id, user.livemode, key))
    return prepare(key, fingerprint_of(request, body), payment_id, account, route, draft, Clock().now())


@get("/v1/payments/{payment_id:str}")
async def select(request: Request[Any, Any, State], payment_id: FromPath[str]) -> Response[bytes]:
    """Authenticate, one select by primary key, answer an id."""
    wanted = ids.read(ids.PAYMENT, payment_id) or ids.NIL
    pool: Pool = request.app.state.pool
    async with pool.acquire() as connection:
        row = await connection.fetchrow(BY_KEY, ids.lp_of(wanted), wanted)
    return Response(b'{"id":"%s"}' % ids.show(ids.PAYMENT, row["id"]).encode(), media_type="application/json")


@post("/v1/payments")
async def ceiling(request: Request[Any, Any, State]) -> Response[bytes]:
    """Authenticate, validate, answer."""
    new = await _prepared(request)
    return Response(new.content, status_code=201, media_type="application/json")


@post("/v1/payments")
async def transaction(request: Request[Any, Any, State]) -> Response[bytes]:
    """The same, and one transaction."""
    new = await _prepared(request)
    pool: Pool = request.app.state.pool
    async with pool.acquire() as connection, connection.transaction():
        await insert(connection, new)
    return Response(new.content, status_code=201, media_type="application/json")


async def insert(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", new: NewPayment) -> None:
    """Key, payment, operation, event: the rows that our flusher writes, one statement each."""
    payment, operation, event = new.payment, new.operation, new.event
    await connection.execute(
        """insert into idempotency_keys (lp, merchant_id, livemode, root_id, key, fingerprint, object_id, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8)""",
        payment.lp, payment.merchant_id, payment.livemode, ids.NIL, new.key, new.fingerprint, payment.id,
        payment.created_at,
    )  # fmt: skip
    await connection.execute(
        """insert into payments (lp, id, merchant_id, livemode, status, amount, currency, country, phone, reference,
               account_id, provider, details, route, sequence, expires_at, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)""",
        payment.lp, payment.id, payment.merchant_id, payment.livemode, payment.status, payment.amount,
        payment.currency, payment.country, payment.phone, payment.reference, payment.account_id, payment.provider,
        views.encode(payment.details), bytes(payment.route), payment.sequence, payment.expires_at,
        payment.created_at, payment.updated_at,
    )  # fmt: skip
    await connection.execute(
        """insert into operations (lp, id, payment_id, merchant_id, account_id, provider, settings_version, verb, state,
               amount, currency, reference, next_publish_at, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)""",
        operation.lp, operation.id, operation.payment_id, operation.merchant_id, operation.account_id,
        operation.provider, operation.settings_version, operation.verb, operation.state, operation.amount,
        operation.currency, operation.reference, operation.next_publish_at, operation.created_at,
        operation.updated_at,
    )  # fmt: skip
    await connection.execute(
        """insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        event.id, event.merchant_id, event.livemode, event.root_id, event.object_id, event.type, event.sequence,
        event.body, event.created_at,
    )  # fmt: skip


def _app(handler: Any) -> RequestContext:
    found: dict[str, Pool] = {}

    async def find_key(digest: bytes) -> directory.ApiKeyRow | None:
        async with found["pool"].acquire() as connection:
            return await directory.find_key(connection, digest)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with await create_pool(settings.load(), size=POOL) as pool:
            found["pool"] = app.state.pool = pool
            app.state.accounts = Accounts(pool)
            settle_memory()
            yield

    router = Router(path="", route_handlers=[handler], middleware=[authentication(KeyCache(find_key))])
    return RequestContext(
        Litestar([router], lifespan=[lifespan], openapi_config=None, **base_kwargs("http://localhost:5000"))
    )


def ceiling_app() -> RequestContext:
    """The application without a database."""
    return _app(ceiling)


def transaction_app() -> RequestContext:
    """The application with a transaction per request."""
    return _app(transaction)


def select_app() -> RequestContext:
    """The application with a plain select."""
    return _app(select)
