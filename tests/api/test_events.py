"""The pull feed: the stored bytes, in order of position, and nobody else's; a late commit is not skipped."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway import ids
from gateway.http import cursors
from gateway.store import events as store
from gateway.store.database import Connection, prepare
from streams import relay
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation


async def give_positions(connection: Connection) -> None:
    """What the leading relay does."""
    lease = timedelta(seconds=60)
    taken = await connection.fetchrow(relay.TAKE, "test", lease)
    assert taken is not None
    while await connection.fetch(relay.ASSIGN, taken["fence"], lease, 0):
        pass


def walk(tenant: Tenant, query: str = "", limit: int = 2) -> Iterator[dict[str, Any]]:
    """Every event of the feed, page by page."""
    after = ""
    while True:
        page = tenant.test.get(f"/v1/events?limit={limit}{query}{after}").json()
        assert page["next"] is not None
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['next']}"


def test_the_feed_is_the_stored_bytes_oldest_first(mypay: Installation, tenant: Tenant) -> None:
    paid = [tenant.payment()["id"] for _ in range(5)]
    on_database(mypay, give_positions)
    assert [event["data"]["object"]["id"] for event in walk(tenant)] == paid

    async def stored(connection: Connection) -> list[bytes]:
        rows = await connection.fetch(
            "select body from events where merchant_id = $1 order by position", tenant.merchant_id
        )
        return [bytes(row["body"]) for row in rows]

    bodies = on_database(mypay, stored)
    assert tenant.test.get("/v1/events").content.startswith(b'{"object":"list","data":[' + b",".join(bodies) + b"]")
    for body in bodies:
        assert tenant.test.get(f"/v1/events/{msgspec.json.decode(body)['id']}").content == body


def test_next_goes_on_where_the_feed_ended(mypay: Installation, tenant: Tenant) -> None:
    empty = tenant.test.get("/v1/events").json()
    assert (empty["data"], empty["has_more"]) == ([], False)
    assert tenant.test.get(f"/v1/events?after={empty['next']}").json() == empty
    tenant.payment()
    on_database(mypay, give_positions)
    first = tenant.test.get(f"/v1/events?after={empty['next']}").json()
    assert len(first["data"]) == 1
    later = tenant.payment()
    assert tenant.test.get(f"/v1/events?after={first['next']}").json() == {**first, "data": []}  # no position yet
    on_database(mypay, give_positions)
    second = tenant.test.get(f"/v1/events?after={first['next']}").json()
    assert [event["data"]["object"]["id"] for event in second["data"]] == [later["id"]]


async def insert(connection: Connection, tenant: Tenant, kind: str, object_id: UUID) -> None:
    event_id = ids.new()
    await connection.execute(
        "insert into events (id, merchant_id, livemode, root_id, object_id, type, sequence, body, created_at)"
        " values ($1, $2, false, $3, $3, $4, 1, $5, $6)",
        event_id,
        tenant.merchant_id,
        object_id,
        kind,
        msgspec.json.encode({"id": ids.show(ids.EVENT, event_id), "type": kind}),
        datetime.now(UTC),
    )


def test_what_commits_late_is_not_skipped(mypay: Installation, tenant: Tenant) -> None:
    async def late() -> tuple[list[str], list[str]]:
        connections = [await asyncpg.connect(mypay.settings.database_uri) for _ in range(2)]
        slow, fast = connections
        for each in connections:
            await prepare(each)
        try:
            transaction = slow.transaction()
            await transaction.start()
            await insert(slow, tenant, "payment.slow", ids.new())  # draws the lower seq
            await insert(fast, tenant, "payment.fast", ids.new())
            await give_positions(fast)
            page = tenant.test.get("/v1/events").json()
            await transaction.commit()
            await give_positions(fast)
            rest = tenant.test.get(f"/v1/events?after={page['next']}").json()
            return [each["type"] for each in page["data"]], [each["type"] for each in rest["data"]]
        finally:
            for each in connections:
                await each.close()

    assert asyncio.run(late()) == (["payment.fast"], ["payment.slow"])


def test_nobody_sees_anothers_events_nor_those_of_the_other_mode(
    mypay: Installation, tenant: Tenant, other: Tenant
) -> None:
    other.payment()
    mine, live = tenant.payment(), tenant.payment(livemode=True)
    on_database(mypay, give_positions)
    assert [event["data"]["object"]["id"] for event in walk(tenant)] == [mine["id"]]
    seen = tenant.live.get("/v1/events").json()["data"]
    assert [(event["data"]["object"]["id"], event["livemode"]) for event in seen] == [(live["id"], True)]
    event_id = next(walk(tenant))["id"]
    for client in (other.test, tenant.live, other.live):
        assert code(client.get(f"/v1/events/{event_id}"), 404) == "not_found"
        assert client.get(f"/v1/events?object_id={mine['id']}").json()["data"] == []
    after = tenant.test.get("/v1/events").json()["next"]
    assert other.test.get(f"/v1/events?after={after}").json()["data"] == []


def test_filters(mypay: Installation, tenant: Tenant) -> None:
    one, two = ids.new(), ids.new()

    async def fill(connection: Connection) -> None:
        for kind, object_id in (
            ("payment.created", one),
            ("payment.failed", one),
            ("payments_x.y", two),
            ("ping", two),
        ):
            await insert(connection, tenant, kind, object_id)
        await give_positions(connection)

    on_database(mypay, fill)

    def types(query: str) -> list[str]:
        return [event["type"] for event in walk(tenant, query, limit=1)]

    assert types("&type=payment.*") == ["payment.created", "payment.failed"]
    assert types("&type=payment.failed") == ["payment.failed"]
    assert types("&type=ping") == ["ping"]
    assert types("&type=payment") == []
    assert types(f"&object_id={ids.show(ids.PAYMENT, one)}") == ["payment.created", "payment.failed"]
    assert types(f"&object_id={ids.show(ids.PAYMENT, one)}&type=payment.created") == ["payment.created"]
    assert types("&object_id=nothing") == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("type=payment.%25", "/type"),
        ("type=*", "/type"),
        ("type=ping&type=ping", "/type"),
        ("livemode=true", "/livemode"),
        ("limit=0", "/limit"),
    ],
)
def test_bad_filters(tenant: Tenant, query: str, pointer: str) -> None:
    assert pointers(tenant.test.get(f"/v1/events?{query}")) == [pointer]


def test_bad_cursors_and_ids(tenant: Tenant) -> None:
    for cursor in ("x", cursors.encode(cursors.AfterId(ids.new()))):
        assert code(tenant.test.get(f"/v1/events?after={cursor}"), 400) == "invalid_cursor"
    for event_id in ("evt_x", ids.show(ids.EVENT, ids.new()), ids.show(ids.PAYMENT, ids.new())):
        assert code(tenant.test.get(f"/v1/events/{event_id}"), 404) == "not_found"


def test_a_cursor_before_what_was_dropped_is_too_old(mypay: Installation, tenant: Tenant, other: Tenant) -> None:
    """Of the merchant's own events: who had none in the days that went keeps his cursor."""
    start = tenant.test.get("/v1/events").json()["next"]
    for each in (tenant, other):
        each.payment()
    on_database(mypay, give_positions)
    after = tenant.test.get("/v1/events").json()["next"]

    async def drop(connection: Connection) -> None:
        gone = "delete from events where merchant_id = $1 returning position"
        position = await connection.fetchval(gone, tenant.merchant_id)
        await connection.execute("insert into dropped_events values ($1, false, $2)", tenant.merchant_id, position)

    on_database(mypay, drop)
    assert code(tenant.test.get(f"/v1/events?after={start}"), 410) == "cursor_expired"
    assert "event: gap" in tenant.test.get(f"/v1/events/stream?after={start}").text
    assert tenant.test.get(f"/v1/events?after={after}").json()["data"] == []
    assert tenant.test.get("/v1/events").status_code == 200
    assert len(other.test.get(f"/v1/events?after={start}").json()["data"]) == 1


def test_a_page_is_read_from_the_index(mypay: Installation, tenant: Tenant) -> None:
    """Among many events of others."""
    columns = ["id", "merchant_id", "livemode", "root_id", "object_id", "type", "sequence", "body", "position"]

    async def plan(connection: Connection) -> list[str]:
        now = datetime.now(UTC)
        merchants = [tenant.merchant_id, *(ids.new() for _ in range(499))]
        records = [
            (ids.new(), merchants[n % 500], False, ids.NIL, ids.NIL, "payment.created", n + 1, b"", n, now)
            for n in range(20_000)
        ]
        await connection.copy_records_to_table("events", records=records, columns=[*columns, "created_at"])
        await connection.execute("analyze events")
        sql, _ = store.statement(store.Filters())
        lines = await connection.fetch("explain " + sql, tenant.merchant_id, False, 0, 21)
        return [line[0] for line in lines if "(cost=0.00..0.00" not in line[0]]  # days without events

    shown = on_database(mypay, plan)
    assert any("Index Cond: ((merchant_id = " in line for line in shown), shown
    assert not [line for line in shown if "Seq Scan" in line or "->  Sort" in line], shown
