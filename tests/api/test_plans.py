"""Every list, by every filter, is read from an index, among 10 000 rows of which a merchant has an eighth.

What is explained are the statements as the code makes them: the page's own function is called with a connection that
explains instead. Twice: for these values, and by the plan that PostgreSQL makes for any values and may keep.
"""

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway import ids
from gateway.payments.model import Kind
from gateway.store import (
    api_keys,
    audit,
    audit_chain,
    callback_log,
    configured_accounts,
    dead_letters,
    events,
    exchanges,
    merchants,
    payments,
    refunds,
    users,
    webhook_deliveries,
    webhook_endpoints,
)
from gateway.store.database import prepare
from tests.support.parts import Parts, fresh_database

pytestmark = pytest.mark.anyio

ROWS = 10_000
SMALL = 100  # rows: what may be read whole, or sorted
MERCHANT, *OTHERS = (ids.new() for _ in range(14))
NOW = datetime.now(UTC)
ACCOUNTS = [ids.new() for _ in range(3)]
PRICES = [each * 500 for each in range(1, 61)]
STATUSES = [*["succeeded"] * 92, *["failed"] * 4, *["expired"] * 2, "canceled", "processing"]
chance = random.Random(21)


@pytest.fixture(scope="module")
def database(parts: Parts) -> Iterator[str]:
    """A database of its own for these tests."""
    with fresh_database(parts) as uri:
        yield uri


@pytest.fixture(scope="module")
async def filled(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to it, full."""
    connection = await asyncpg.connect(database)
    await prepare(connection)
    for table, rows in (
        ("merchants", [{"id": each, "name": "Shop"} for each in (MERCHANT, *OTHERS, *(_id(n) for n in range(ROWS)))]),
        ("users", [_user(n) for n in range(ROWS)]),
        ("accounts", [_account(n) for n in range(ROWS)]),
        ("account_settings", [{"account_id": _account_id(n), "version": 1, "sealed": b"x"} for n in range(ROWS)]),
        ("api_keys", [_api_key(n) for n in range(ROWS)]),
        ("payments", [_payment(n) for n in range(ROWS)]),
        ("refunds", [_refund(n) for n in range(ROWS)]),
        ("events", [_event(n) for n in range(ROWS)]),
        ("callbacks", [_callback(n) for n in range(ROWS)]),
        ("audit_events", [_audit(n) for n in range(ROWS)]),
        ("exchanges", [_exchange(n) for n in range(ROWS)]),
        ("dead_letters", [_dead_letter(n) for n in range(ROWS)]),
        ("webhook_endpoints", [_endpoint(n) for n in range(ROWS)]),
        ("webhook_deliveries", [_delivery(n) for n in range(ROWS)]),
        ("webhook_attempts", [_attempt(n) for n in range(ROWS)]),
    ):
        await connection.copy_records_to_table(
            table, records=[tuple(row.values()) for row in rows], columns=list(rows[0])
        )
    await connection.execute("analyze")
    yield connection
    await connection.close()


def _id(number: int) -> UUID:
    """Of a time: row 0 is the oldest."""
    return ids.new(at_ms=int((NOW - timedelta(seconds=ROWS - number)).timestamp() * 1000))


PAYMENTS = [_id(n) for n in range(ROWS)]
EVENTS = [_id(n) for n in range(ROWS)]
ENDPOINTS = [_id(n) for n in range(ROWS)]
MORE_ACCOUNTS = [*ACCOUNTS, *(_id(n) for n in range(ROWS - len(ACCOUNTS)))]


def _account_id(number: int) -> UUID:
    return MORE_ACCOUNTS[number]


def _whose(number: int) -> UUID:
    return OTHERS[number % 13] if number % 8 else MERCHANT


def _account_of(number: int) -> UUID:
    return MORE_ACCOUNTS[number % 1000 + 3] if number % 8 else chance.choice(ACCOUNTS)


def _at(number: int) -> datetime:
    return NOW - timedelta(seconds=ROWS - number)


def _account(number: int) -> dict[str, Any]:
    owner = MERCHANT if number < len(ACCOUNTS) else OTHERS[0]
    columns = {"id": _account_id(number), "merchant_id": owner, "provider": "sandbox", "livemode": False}
    return {**columns, "callback_token": uuid.uuid4().hex, "settings_version": 1}


def _api_key(number: int) -> dict[str, Any]:
    owner = MERCHANT if number < 30 else OTHERS[0]
    columns = {"id": _id(number), "merchant_id": owner, "livemode": False, "name": "k", "prefix": "sk_test_"}
    return {**columns, "key_hash": uuid.uuid4().bytes}


def _payment(number: int) -> dict[str, Any]:
    status = chance.choice(STATUSES)
    return {
        "lp": ids.lp_of(PAYMENTS[number]),
        "id": PAYMENTS[number],
        "kind": "payout" if number % 20 == 0 else "payment",
        "merchant_id": _whose(number),
        "livemode": False,
        "status": status,
        "amount": chance.choice(PRICES),
        "currency": "LSL",
        "phone": f"+266581{chance.randrange(3000):05}",
        "reference": f"order-{number}",
        "account_id": _account_of(number),
        "provider": "sandbox",
        "details": b"{}",
        "route": b"{}",
        "review": b'{"reason": "late_success"}' if number % 400 == 8 else None,
        "sequence": 1,
        "expires_at": _at(number),
        "created_at": _at(number),
        "updated_at": _at(number),
    }


def _refund(number: int) -> dict[str, Any]:
    return {
        "lp": ids.lp_of(PAYMENTS[number]),
        "id": ids.new(ids.lp_of(PAYMENTS[number])),
        "payment_id": PAYMENTS[number],
        "merchant_id": _whose(number),
        "livemode": False,
        "account_id": ACCOUNTS[0],
        "provider": "sandbox",
        "status": "succeeded",
        "amount": 1,
        "currency": "LSL",
        "metadata": b"{}",
        "sequence": 1,
        "created_at": _at(number),
        "updated_at": _at(number),
    }


def _event(number: int) -> dict[str, Any]:
    types = ("payment.created", "payment.processing", "payment.succeeded")
    columns = {
        "id": EVENTS[number],
        "merchant_id": _whose(number),
        "livemode": False,
        "root_id": PAYMENTS[number // 3],
    }
    more = {"object_id": PAYMENTS[number // 3], "type": types[number % 3], "sequence": number % 3 + 1}
    return {**columns, **more, "body": b"{}", "position": number + 1, "created_at": _at(number)}


def _callback(number: int) -> dict[str, Any]:
    columns = {
        "id": _id(number),
        "merchant_id": _whose(number),
        "account_id": _account_of(number),
        "provider": "sandbox",
    }
    more = {"operation_id": PAYMENTS[number], "method": "POST", "query": "", "headers": b"{}", "body": b"{}"}
    state = "received" if number % 1000 == 0 else "processed"
    return {**columns, **more, "state": state, "received_at": _at(number)}


def _audit(number: int) -> dict[str, Any]:
    columns = {"id": _id(number), "merchant_id": _whose(number), "livemode": False, "actor": f"key_{number % 7}"}
    more = {"action": f"action.{number % 5}", "object_id": f"acc_{number // 3}", "outcome": "done", "changes": b"{}"}
    position = None if number > ROWS - 5 else number
    return {**columns, **more, "created_at": _at(number), "position": position}


def _exchange(number: int) -> dict[str, Any]:
    columns = {"id": _id(number), "merchant_id": _whose(number), "operation_id": PAYMENTS[number // 2]}
    return {**columns, "method": "POST", "path": "/", "request": "", "duration_ms": 1, "sent_at": _at(number)}


def _dead_letter(number: int) -> dict[str, Any]:
    columns = {"id": uuid.uuid4(), "topic": "t", "partition": 0, "offset": number, "consumer_group": "g"}
    more = {"headers": b"[]", "error_class": "E", "error": "e", "merchant_id": _whose(number), "livemode": False}
    return {**columns, **more, "created_at": _at(number)}


def _user(number: int) -> dict[str, Any]:
    columns = {"id": _id(number), "email": f"{number}@shop.example", "password_hash": "x", "role": "viewer"}
    return {**columns, "created_at": _at(number), "updated_at": _at(number)}


def _endpoint(number: int) -> dict[str, Any]:
    columns = {"id": ENDPOINTS[number], "merchant_id": MERCHANT if number < 16 else OTHERS[number % 13]}
    more = {"livemode": False, "url": "https://shop.example/", "events": ["*"], "status": "enabled", "sealed": b"x"}
    return {**columns, **more, "created_at": _at(number), "updated_at": _at(number)}


def _delivery(number: int) -> dict[str, Any]:
    status = "failed" if number % 50 == 0 else "delivered"
    columns = {"event_id": EVENTS[number], "endpoint_id": ENDPOINTS[number % 8], "id": _id(number)}
    more = {"merchant_id": MERCHANT, "livemode": False, "status": status, "attempt": 1}
    return {**columns, **more, "created_at": _at(number), "updated_at": _at(number)}


def _attempt(number: int) -> dict[str, Any]:
    columns = {"event_id": EVENTS[number], "endpoint_id": ENDPOINTS[number % 8], "attempt": 1}
    return {**columns, "merchant_id": MERCHANT, "started_at": _at(number), "duration_ms": 1, "response_status": 200}


# --- What is asked, and which index answers; one of two where both are as good for so large a part of the rows --------


def paying(**filters: Any) -> Callable[[Any], Awaitable[object]]:
    """A page of payments."""
    return lambda connection: payments.page(connection, MERCHANT, False, payments.Filters(**filters), None, 21)


def refunding(**filters: Any) -> Callable[[Any], Awaitable[object]]:
    """A page of refunds."""
    return lambda connection: refunds.page(connection, MERCHANT, False, refunds.Filters(**filters), None, 21)


def feeding(**filters: Any) -> Callable[[Any], Awaitable[object]]:
    """A page of the feed."""
    return lambda connection: events.page(connection, MERCHANT, False, events.Filters(**filters), 5000, 21)


def auditing(**filters: Any) -> Callable[[Any], Awaitable[object]]:
    """A page of the audit trail."""
    return lambda connection: audit.page(connection, MERCHANT, False, **filters, limit=21)


def calling(provider: str | None = None, state: str | None = None) -> Callable[[Any], Awaitable[object]]:
    """A page of callbacks."""
    return lambda connection: callback_log.page(
        connection, MERCHANT, False, provider=provider, state=state, after=None, limit=21
    )


def delivering(**filters: Any) -> Callable[[Any], Awaitable[object]]:
    """A page of an endpoint's deliveries."""
    given = {"statuses": None, "event_id": None, "after": None, **filters}
    return lambda connection: webhook_deliveries.page(connection, MERCHANT, False, ENDPOINTS[3], **given, limit=21)


def listening(status: str | None = None) -> Callable[[Any], Awaitable[object]]:
    """A page of webhook endpoints."""
    return lambda connection: webhook_endpoints.page(connection, MERCHANT, False, status=status, after=None, limit=21)


LISTS: dict[str, tuple[Callable[[Any], Awaitable[object]], str]] = {
    "payments": (paying(), "payments_merchant"),
    "payments by status succeeded": (paying(status=("succeeded",)), "payments_merchant"),
    "payments by status failed": (paying(status=("failed",)), "payments_exceptions"),
    "payments by two statuses": (paying(status=("failed", "expired")), "payments_exceptions"),
    "payments by status processing": (paying(status=("processing",)), "payments_open"),
    "payments by provider": (paying(provider="sandbox"), "payments_merchant"),
    "payments by account": (paying(account=ACCOUNTS[0]), "payments_merchant"),
    "payments by reference": (paying(reference="order-77"), "payments_reference"),
    "payments by phone": (paying(phone="+26658100077"), "payments_phone"),
    "payments by currency": (paying(currency="LSL"), "payments_merchant"),
    "payments by amount": (paying(amount=PRICES[29]), "payments_merchant"),
    "payments by review": (paying(review="late_success"), "payments_review"),
    "payments by time": (paying(created_from=_at(100), created_to=_at(300)), "payments_merchant"),
    "payouts": (paying(kind=Kind.PAYOUT), "payments_merchant"),
    "payouts by reference": (paying(kind=Kind.PAYOUT, reference="order-40"), "payments_reference"),
    "refunds": (refunding(), "refunds_merchant"),
    "refunds by payment": (refunding(payment=PAYMENTS[77]), "refunds_payment"),
    "refunds by status": (refunding(status=("succeeded",)), "refunds_merchant"),
    "events": (feeding(), "events_feed|events_position"),
    "events by type": (feeding(type="payment.created"), "events_feed|events_position"),
    "events by family": (feeding(family="payment"), "events_feed|events_position"),
    "events by object": (feeding(object_id=PAYMENTS[2000]), "events_object"),
    "callbacks": (calling(), "callbacks_merchant"),
    "callbacks by provider": (calling(provider="sandbox"), "callbacks_merchant"),
    "callbacks by state processed": (calling(state="processed"), "callbacks_merchant"),
    "callbacks by state received": (calling(state="received"), "callbacks_unhandled"),
    "audit events": (auditing(), "audit_events_merchant|audit_events_pkey"),
    "audit events by actor": (auditing(actor="key_1"), "audit_events_merchant|audit_events_pkey"),
    "audit events by action": (auditing(action="action.1"), "audit_events_merchant|audit_events_pkey"),
    "audit events by object": (auditing(object_id="acc_77"), "audit_events_object"),
    "audit events in the order of their chain": (
        lambda connection: audit_chain.page(connection, MERCHANT, False, (ROWS - 400, ids.NIL), ROWS),
        "audit_events_chain",
    ),
    "audit events that wait for their place": (audit_chain.unsealed, "audit_events_unsealed"),
    "dead letters": (
        lambda connection: dead_letters.page(connection, MERCHANT, False, None, 21),
        "dead_letters_merchant",
    ),
    "exchanges of operations": (
        lambda connection: exchanges.of_operations(connection, MERCHANT, [PAYMENTS[5], PAYMENTS[6]], 500),
        "exchanges_operation",
    ),
    "accounts": (
        lambda connection: configured_accounts.page(connection, MERCHANT, False, None, 21),
        "accounts_merchant",
    ),
    "webhook endpoints": (listening(), "webhook_endpoints_merchant"),
    "webhook endpoints by status": (listening("enabled"), "webhook_endpoints_merchant"),
    "deliveries": (delivering(), "webhook_deliveries_endpoint"),
    "deliveries after one": (delivering(after=_id(5000)), "webhook_deliveries_endpoint"),
    "deliveries by status": (delivering(statuses=["failed"]), "webhook_deliveries_endpoint"),
    "deliveries of an event": (delivering(event_id=EVENTS[3]), "webhook_deliveries_pkey"),
    "attempts of a delivery": (
        lambda connection: webhook_deliveries.attempts(connection, MERCHANT, [EVENTS[3]]),
        "webhook_attempts_pkey",
    ),
    "payouts by status": (paying(kind=Kind.PAYOUT, status=("failed",)), "payments_exceptions"),
    "payouts by account": (paying(kind=Kind.PAYOUT, account=ACCOUNTS[0]), "payments_merchant"),
    "merchants": (lambda connection: merchants.page(connection, None, 21), "merchants_pkey"),
    "people": (lambda connection: users.page(connection, None, 21), "users_pkey"),
    "API keys": (lambda connection: api_keys.page(connection, MERCHANT, False, None, 21), "api_keys_merchant"),
}


class Explainer:
    """A connection whose `fetch` explains; the last plan is kept, and no rows are returned but accounts."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self.plan: dict[str, Any] = {}

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]:
        """EXPLAIN it."""
        found = await self._connection.fetchval("explain (format json) " + sql, *parameters)
        self.plan = msgspec.json.decode(found)[0]["Plan"]
        return [{"id": each} for each in ACCOUNTS] if sql == callback_log.ACCOUNTS else []


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@asynccontextmanager
async def plans(connection: "asyncpg.Connection[asyncpg.Record]", mode: str) -> AsyncIterator[Explainer]:
    """With plans for the values at hand, or for any."""
    await connection.execute(f"set plan_cache_mode = {mode}")
    try:
        yield Explainer(connection)
    finally:
        await connection.execute("reset plan_cache_mode")


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_read_from_its_index(
    filled: "asyncpg.Connection[asyncpg.Record]", name: str, mode: str
) -> None:
    ask, index = LISTS[name]
    async with plans(filled, mode) as explainer:
        await ask(explainer)
    found = list(nodes(explainer.plan))
    used = {node["Index Name"] for node in found if "Index Name" in node}
    assert set(index.split("|")) & await parents(filled, used), explainer.plan
    whole = [each for each in found if each["Node Type"] in ("Seq Scan", "Sort") and each["Plan Rows"] > SMALL]
    assert not whole, explainer.plan


async def parents(connection: "asyncpg.Connection[asyncpg.Record]", names: set[str]) -> set[str]:
    """The indexes by the names that migrations give them: those of a partition belong to its parent's."""
    sql = """select coalesce(p.relname, c.relname)::text as name from pg_class c
               left join pg_inherits i on i.inhrelid = c.oid left join pg_class p on p.oid = i.inhparent
              where c.relname = any($1)"""
    return {row["name"] for row in await connection.fetch(sql, list(names))}
