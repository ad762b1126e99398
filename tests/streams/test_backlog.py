"""Past the limit an endpoint keeps a cursor instead of rows, and gets every event all the same."""

import asyncio

import pytest

from gateway import ids
from gateway.settings import Settings
from gateway.store.database import Pool
from gateway.store.webhook_endpoints import StoredEndpoint
from streams import backlog
from streams.backlog import Backlog
from streams.publisher import Publisher
from streams.relay import Relay
from tests.streams.support import until
from tests.streams.webhooks import Outbox
from tests.support.receiver import receiver

pytestmark = pytest.mark.anyio

MAX, REFILL = 20, 10


@pytest.fixture
def outbox(pool: Pool, settings: Settings) -> Outbox:
    return Outbox(pool, settings)


async def turn(outbox: Outbox, made: Backlog, fence: int | None = None) -> None:
    """What the leader and its watcher do once a second."""
    await made._look()
    async with outbox.pool.acquire() as connection:
        await made.settle(connection, outbox.fence if fence is None else fence)


async def happen(outbox: Outbox, count: int) -> None:
    for number in range(count):
        await outbox.event("payment.created" if number % 2 else "payment.succeeded")
    await outbox.relay()


async def deliver(outbox: Outbox, count: int) -> None:
    """As if so many had been received."""
    sql = """
    update webhook_deliveries set status = 'delivered', next_attempt_at = null
     where (event_id, endpoint_id) in (select event_id, endpoint_id from webhook_deliveries
                                        where next_attempt_at is not null limit $1)
    """
    await outbox.pool.execute(sql, count)


async def cursor(outbox: Outbox, endpoint: StoredEndpoint) -> int | None:
    return (await outbox.stored(endpoint)).backlog_cursor


async def missing(outbox: Outbox) -> int:
    """Events without a delivery."""
    sql = "select count(*) from events e where not exists (select 1 from webhook_deliveries d where d.event_id = e.id)"
    found: int = await outbox.pool.fetchval(sql)
    return found


async def test_rows_then_a_cursor_then_rows_again(outbox: Outbox) -> None:
    endpoint = await outbox.endpoint("http://127.0.0.1:9/")
    other = await outbox.endpoint("http://127.0.0.1:9/", "refund.*")
    made = Backlog(outbox.pool, waiting_max=MAX, refill_below=REFILL, follow_max=5)
    await happen(outbox, MAX)
    await turn(outbox, made)
    assert await cursor(outbox, endpoint) == MAX
    await happen(outbox, 30)
    await turn(outbox, made)
    assert (len(await outbox.deliveries(endpoint)), await missing(outbox)) == (MAX, 30)
    await deliver(outbox, MAX - 2)
    await turn(outbox, made)
    assert await cursor(outbox, endpoint) == MAX + 10
    assert await missing(outbox) == 20
    await deliver(outbox, 100)
    await turn(outbox, made)
    await deliver(outbox, 100)
    await turn(outbox, made)
    await deliver(outbox, 100)
    await turn(outbox, made)
    assert (await cursor(outbox, endpoint), await missing(outbox)) == (None, 0)
    await happen(outbox, 3)
    assert (len(await outbox.deliveries(endpoint)), await missing(outbox)) == (MAX + 33, 0)
    assert await cursor(outbox, other) is None


async def test_a_former_leader_begins_and_ends_nothing(outbox: Outbox) -> None:
    endpoint = await outbox.endpoint("http://127.0.0.1:9/")
    made = Backlog(outbox.pool, waiting_max=MAX, refill_below=REFILL, follow_max=5)
    await happen(outbox, MAX)
    await turn(outbox, made, fence=outbox.fence - 1)
    assert await cursor(outbox, endpoint) is None
    await turn(outbox, made)
    await deliver(outbox, MAX)
    await turn(outbox, made, fence=outbox.fence - 1)
    assert await cursor(outbox, endpoint) == MAX
    await turn(outbox, made)
    assert await cursor(outbox, endpoint) is None


async def test_an_end_that_waited_while_the_lead_changed_ends_nothing(outbox: Outbox) -> None:
    """The former leader's statement is held up; the successor gives positions that it would not see."""
    endpoint = await outbox.endpoint("http://127.0.0.1:9/")
    made = Backlog(outbox.pool, waiting_max=MAX, refill_below=REFILL, follow_max=5)
    await happen(outbox, MAX)
    await turn(outbox, made)
    await deliver(outbox, MAX)
    await made._look()
    async with outbox.pool.acquire() as former, outbox.pool.acquire() as successor:
        async with successor.transaction():
            await successor.execute("update relay set leader = 'b', fence = fence + 1")
            late = asyncio.create_task(made.settle(former, outbox.fence))
            await asyncio.sleep(0.3)
            assert not late.done()
        await late
    assert await cursor(outbox, endpoint) == MAX


async def test_every_event_arrives_through_all_of_it(
    outbox: Outbox, pool: Pool, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay at work, a receiver that is slow at first, and events that go on meanwhile."""
    monkeypatch.setattr(backlog, "LOOK_S", 0.02)
    relay = Relay(pool, publisher, owner="a")
    relay._backlog = Backlog(pool, waiting_max=MAX, refill_below=REFILL, follow_max=5)
    leading = asyncio.create_task(relay.run())
    cursors: set[int | None] = set()
    try:
        async with receiver() as shop:
            endpoint = await outbox.endpoint(shop.url)
            expected = [await outbox.event() for _ in range(60)]

            async def begun() -> bool:
                return await cursor(outbox, endpoint) is not None

            await until(begun)
            async with outbox.notifying(pace=1.0):
                for _ in range(200):
                    expected.append(await outbox.event())
                    cursors.add(await cursor(outbox, endpoint))
                await until(lambda: len(shop.got) >= len(expected))
            got = [each.headers["webhook-id"] for each in shop.got]
    finally:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
    assert sorted(got) == sorted(ids.show(ids.EVENT, each) for each in expected)
    assert len(cursors) > 2
