"""Accept queues as the API has them, and what they wrote."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from msgspec import structs

from gateway import ids
from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store.accept import Accepted, NewPayment, accept
from gateway.store.batcher import Batcher, RawConnection
from gateway.store.database import Pool, connect
from providers.contract import Secret
from tests.support.payments import new_payment
from tests.support.proxy import Proxy

PATIENCE_S = 20.0  # after this a test fails: a lane has died

Flusher = Batcher[NewPayment, Accepted]


class Tenant:
    """A merchant of one test: its requests, and what became of them in the tables."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.id = pool, ids.new()

    def wants(self, key: str, **how: Any) -> NewPayment:
        """A request with this idempotency key."""
        return new_payment(key, now=Clock().now(), merchant=self.id, **how)

    async def payments(self) -> dict[UUID, int]:
        """The payments, each with how many keys, operations and events it has; all of them must have one of each."""
        rows = await self.pool.fetch(
            """
            select p.id, (select count(*) from idempotency_keys k where k.object_id = p.id) as keys,
                   (select count(*) from operations o where o.payment_id = p.id) as operations,
                   (select count(*) from events e where e.object_id = p.id) as events
              from payments p where p.merchant_id = $1
            """,
            self.id,
        )
        assert all((row["keys"], row["operations"], row["events"]) == (1, 1, 1) for row in rows), rows
        return {row["id"]: 1 for row in rows}


@asynccontextmanager
async def flusher(
    settings: Settings,
    write: Callable[[RawConnection, Sequence[NewPayment]], Awaitable[Sequence[Accepted | Exception]]] = accept,
    *,
    through: Proxy | None = None,
    setup: str | None = None,
    **options: Any,
) -> AsyncIterator[Flusher]:
    """An accept queue. `setup` is SQL that is run on each of its connections."""
    if through is not None:
        settings = structs.replace(settings, database_uri=Secret(through.before(settings.database_uri)))

    async def connection() -> RawConnection:
        made = await connect(settings)
        if setup is not None:
            await made.execute(setup)
        return made

    batcher: Flusher = Batcher(write, connection, name="accept", **options)
    try:
        yield batcher
    finally:
        async with asyncio.timeout(PATIENCE_S):
            await batcher.close()


async def submit_all(batcher: Flusher, wanted: Sequence[NewPayment]) -> list[Accepted | BaseException]:
    """Every answer, or what was raised instead, in order."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*(batcher.submit(each) for each in wanted), return_exceptions=True)


def accepted(answers: Sequence[Accepted | BaseException]) -> list[Accepted]:
    """The answers, none of which may be an error."""
    errors = [each for each in answers if isinstance(each, BaseException)]
    assert not errors, errors
    return [each for each in answers if isinstance(each, Accepted)]
