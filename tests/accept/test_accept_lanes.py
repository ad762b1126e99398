"""The lanes of the accept queue: they outlive a database that does not answer, our own errors, and end in order."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from gateway.settings import Settings
from gateway.store.accept import Accepted, NewPayment, accept
from gateway.store.batcher import FateUnknown, QueueFull, RawConnection
from gateway.store.database import Pool
from tests.accept.flushers import Flusher, Tenant, accepted, flusher, submit_all
from tests.support.proxy import proxy


async def submit_when_free(batcher: Flusher, wanted: NewPayment) -> Accepted:
    """Submit as soon as the lane has cleared the queue of those who left."""
    async with asyncio.timeout(2):
        while True:
            try:
                return await batcher.submit(wanted)
            except QueueFull:
                await asyncio.sleep(0.01)


# --- A database that does not answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", ["set lock_timeout = '100ms'", "set statement_timeout = '100ms'"])
async def test_a_statement_that_times_out_is_repeated(
    settings: Settings, pool: Pool, tenant: Tenant, setup: str
) -> None:
    async with flusher(settings, setup=setup, lanes=1) as batcher, pool.acquire() as blocker:
        async with blocker.transaction():
            await blocker.execute("lock table idempotency_keys in access exclusive mode")
            answer = asyncio.create_task(batcher.submit(tenant.wants("key")))
            await asyncio.sleep(0.4)
            assert not answer.done()
        assert (await answer).fresh
    assert len(await tenant.payments()) == 1


async def test_an_impatient_caller_repeats_and_gets_what_was_written(
    settings: Settings, pool: Pool, tenant: Tenant
) -> None:
    wanted = tenant.wants("key")
    async with flusher(settings, lanes=1, patience_s=0.2) as batcher, pool.acquire() as blocker:
        async with blocker.transaction():
            await blocker.execute("lock table idempotency_keys in access exclusive mode")
            with pytest.raises(FateUnknown):
                await batcher.submit(wanted)
        again = await batcher.submit(tenant.wants("key"))
    assert (again.payment.id, again.fresh, again.content) == (wanted.payment.id, False, wanted.content)
    assert len(await tenant.payments()) == 1


async def test_a_frozen_database_refuses_at_once_when_full_and_tells_what_may_be_written(
    settings: Settings, tenant: Tenant
) -> None:
    async with (
        proxy(settings.database_uri) as between,
        flusher(settings, through=between, lanes=1, queue_max=3, patience_s=0.5) as batcher,
    ):
        await batcher.submit(tenant.wants("before"))
        between.freeze()
        begun = asyncio.create_task(batcher.submit(tenant.wants("begun")))
        await asyncio.sleep(0.05)
        queued = [asyncio.create_task(batcher.submit(tenant.wants(f"queued-{number}"))) for number in range(3)]
        await asyncio.sleep(0)
        asked = time.perf_counter()
        with pytest.raises(QueueFull):
            await batcher.submit(tenant.wants("too many"))
        assert time.perf_counter() - asked < 0.2
        errors = await asyncio.gather(begun, *queued, return_exceptions=True)
        assert [type(error) for error in errors] == [FateUnknown, QueueFull, QueueFull, QueueFull]
        between.thaw()
        assert (await submit_when_free(batcher, tenant.wants("after"))).fresh
        assert not (await batcher.submit(tenant.wants("begun"))).fresh
    assert len(await tenant.payments()) == 3


async def test_nothing_is_written_of_what_was_refused_while_its_lane_was_connecting(
    settings: Settings, tenant: Tenant
) -> None:
    async with (
        proxy(settings.database_uri) as between,
        flusher(settings, through=between, lanes=1, patience_s=0.3) as batcher,
    ):
        between.freeze()
        with pytest.raises(QueueFull):
            await batcher.submit(tenant.wants("refused"))
        between.thaw()
        after = await batcher.submit(tenant.wants("after"))
    assert set(await tenant.payments()) == {after.payment.id}


async def test_a_read_only_database_is_waited_for(settings: Settings, pool: Pool, tenant: Tenant) -> None:
    """What a failover looks like from a connection to the former primary."""
    database = await pool.fetchval("select current_database()")
    await pool.execute(f"alter database {database} set default_transaction_read_only = on")
    async with flusher(settings, lanes=1) as batcher:
        answer = asyncio.create_task(batcher.submit(tenant.wants("key")))
        await asyncio.sleep(0.1)
        await pool.execute(f"alter database {database} reset default_transaction_read_only")
        assert not answer.done()
        assert (await answer).fresh
    assert len(await tenant.payments()) == 1


# --- Lanes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), AssertionError("a bug")])
async def test_an_error_of_our_own_reaches_its_callers_and_ends_no_lane(
    settings: Settings, tenant: Tenant, error: Exception
) -> None:
    async def write(connection: RawConnection, batch: Sequence[NewPayment]) -> Sequence[Accepted | Exception]:
        if any(new.key.startswith("bug") for new in batch):
            raise error
        return await accept(connection, batch)

    async with flusher(settings, write) as batcher:
        for number in range(4):  # more often than there are lanes
            answers = await submit_all(batcher, [tenant.wants(f"bug-{number}")])
            assert answers == [error]
        assert accepted(await submit_all(batcher, [tenant.wants("afterwards")]))[0].fresh


async def test_closing_finishes_what_was_begun_and_what_is_queued(settings: Settings, tenant: Tenant) -> None:
    async def write(connection: RawConnection, batch: Sequence[NewPayment]) -> Sequence[Accepted | Exception]:
        await connection.execute("select pg_sleep(0.1)")
        return await accept(connection, batch)

    async with flusher(settings, write) as batcher:
        begun = [asyncio.create_task(batcher.submit(tenant.wants(f"key-{number}"))) for number in range(700)]
        await asyncio.sleep(0.05)
        queued = [asyncio.create_task(batcher.submit(tenant.wants(f"more-{number}"))) for number in range(700)]
        await asyncio.sleep(0)
        await batcher.close()
        assert all(task.done() for task in [*begun, *queued])
        assert all(answer.fresh for answer in await asyncio.gather(*begun, *queued))
        with pytest.raises(QueueFull):
            await batcher.submit(tenant.wants("too late"))
    assert len(await tenant.payments()) == 1400


async def test_closing_does_not_wait_for_a_database_when_nobody_else_does(settings: Settings, tenant: Tenant) -> None:
    async with (
        proxy(settings.database_uri) as between,
        flusher(settings, through=between, lanes=1, patience_s=0.2) as batcher,
    ):
        await batcher.submit(tenant.wants("before"))
        between.lose = lambda sent: True
        with pytest.raises(FateUnknown):
            await batcher.submit(tenant.wants("begun"))
        async with asyncio.timeout(3):
            await batcher.close()
