"""Keeping what was said to providers: on a best effort, bounded, masked, and never in the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.clock import Clock
from gateway.payments.model import Operation
from gateway.settings import Settings
from gateway.store.database import Pool, create_pool
from gateway.store.roots import read_operation
from providers.contract import HttpRequest, HttpResponse
from providers.transport import Exchange
from streams import exchanges
from streams.exchanges import QUEUE_MAX, ExchangeLog, Private
from tests.streams.support import until
from tests.support.payments import Story

pytestmark = pytest.mark.anyio
PRIVATE = Private(secrets=("canary",), phone="+26658123456")


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=4) as pool:
        yield pool


@pytest.fixture
async def operation(pool: Pool) -> Operation:
    """One that was never sent."""
    return read_operation(await (await Story.begin(pool, uuid.uuid4().hex)).operation())


@pytest.fixture
async def kept(pool: Pool) -> AsyncIterator[ExchangeLog]:
    """A log whose task runs."""
    made = ExchangeLog(pool, Clock())
    task = asyncio.create_task(made.run())
    yield made
    assert not task.done()
    task.cancel()


def exchange(content: bytes = b'{"a":"canary"}', **more: Any) -> Exchange:
    """One that was answered."""
    answered = {"response": HttpResponse(status=200, content=b"58123456"), "failure": None, **more}
    return Exchange(
        request=HttpRequest(method="POST", path="/pay", query={"key": "k", "a": "canary"}, content=content),
        began=asyncio.get_running_loop().time(),
        seconds=0.0123,
        **answered,
    )


async def rows(pool: Pool, operation: Operation) -> list[dict[str, Any]]:
    """What is kept of an operation."""
    return [dict(row) for row in await pool.fetch("select * from exchanges where operation_id = $1", operation.id)]


async def test_it_is_written_masked(kept: ExchangeLog, pool: Pool, operation: Operation) -> None:
    kept.note(operation, exchange(), PRIVATE)
    kept.note(operation, exchange(response=None, failure="ConnectError"), PRIVATE)

    async def both() -> bool:
        return len(await rows(pool, operation)) == 2

    await until(both)
    first, second = sorted(await rows(pool, operation), key=lambda row: row["failure"] or "")
    assert (first["operation_id"], first["merchant_id"]) == (operation.id, operation.merchant_id)
    assert (first["method"], first["path"], first["request"]) == ("POST", "/pay?key=***&a=***", '{"a":"***"}')
    assert (first["status"], first["response"], first["duration_ms"]) == (200, "***456", 12)
    assert (second["status"], second["response"], second["failure"]) == (None, None, "ConnectError")


async def test_what_is_too_much_is_dropped_and_nobody_waits(pool: Pool, operation: Operation) -> None:
    full = ExchangeLog(pool, Clock())
    for _ in range(QUEUE_MAX + 7):
        full.note(operation, exchange(b"x" * 100_000), PRIVATE)
    assert full.dropped == 7
    with capture_logs() as logs:
        await full.flush()
    assert [each["exchanges"] for each in logs if each["event"] == "exchanges.dropped"] == [7]
    written = await rows(pool, operation)
    assert len(written) == QUEUE_MAX
    assert {len(row["request"]) for row in written} == {2048}


async def test_a_table_that_cannot_be_written_costs_only_what_was_to_be_written(
    kept: ExchangeLog, pool: Pool, operation: Operation
) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table exchanges in access exclusive mode")
        with capture_logs() as logs:
            kept.note(operation, exchange(), PRIVATE)
            kept.note(operation, exchange(), PRIVATE)  # returns, whatever the table does
            await until(lambda: any(each["event"] == "exchanges.not_written" for each in logs))
        await transaction.rollback()
    kept.note(operation, exchange(b"later"), PRIVATE)

    async def there() -> bool:
        return [row["request"] for row in await rows(pool, operation)] == ["later"]

    await until(there)


async def test_a_defect_in_masking_does_not_end_the_worker(
    kept: ExchangeLog, pool: Pool, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(exchanges, "mask_exchange", broken)
        kept.note(operation, exchange(), PRIVATE)
        await until(lambda: any(each["event"] == "exchanges.failed" for each in logs))
    kept.note(operation, exchange(b"sound"), PRIVATE)

    async def there() -> bool:
        return [row["request"] for row in await rows(pool, operation)] == ["sound"]

    await until(there)
