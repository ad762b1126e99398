"""Endpoints, events and a notifier for the tests of webhooks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from standardwebhooks import Webhook

from gateway import ids
from gateway.clock import Clock
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import events, webhook_endpoints
from gateway.store.database import Pool
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.usecases.webhook_objects import opened
from gateway.webhook_signing import SigningKeys, new_keys
from streams.notifier import Notifier
from streams.relay import ASSIGN, TAKE
from streams.webhook_sender import Senders
from tests.support.receiver import Received

LEASE = timedelta(minutes=1)
BODY = '{"id":"%s","type":"%s","data":{"object":{"note":"Ўзбекистон ☃"}}}'


class Outbox:
    """A merchant's endpoints, the events about its payments, and who makes deliveries of them."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self.pool, self.settings, self.sealer = pool, settings, Sealer(settings.key("seal"))
        self.merchant_id = ids.new()
        self.fence = 0

    async def endpoint(self, url: str, *asked: str, **members: Any) -> StoredEndpoint:
        """A test endpoint, for all events unless told which."""
        keys, version = members.pop("keys", None) or new_keys(asymmetric=False), 1
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            "id": (endpoint_id := ids.new()),
            "merchant_id": self.merchant_id,
            "livemode": False,
            "url": url,
            "events": list(asked) or ["*"],
            "description": None,
            "status": "enabled",
            "disabled_reason": None,
            "secret_version": version,
            "sealed": self.sealed(keys, endpoint_id, version),
            "previous_sealed": None,
            "previous_expires_at": None,
            "sequence": 0,
            "backlog_cursor": None,
            "created_at": now,
            "updated_at": now,
            **members,
        }
        made = StoredEndpoint(**row)
        async with self.pool.acquire() as connection:
            insert = "insert into merchants (id, name) values ($1, 'shop') on conflict do nothing"
            await connection.execute(insert, made.merchant_id)
            await webhook_endpoints.insert(connection, made)
        return made

    def sealed(self, keys: SigningKeys, endpoint_id: UUID, version: int) -> bytes:
        """Keys for a row of this merchant."""
        return webhook_endpoints.seal(
            self.sealer, keys, endpoint_id=endpoint_id, version=version, merchant_id=self.merchant_id
        )

    def keys(self, endpoint: StoredEndpoint) -> SigningKeys:
        """Those of now."""
        return opened(self.settings, self.sealer, endpoint).keys

    async def event(self, kind: str = "payment.succeeded", **members: Any) -> UUID:
        """An event without a position."""
        event_id = ids.new()
        event = events.Event(
            id=event_id,
            type=kind,
            body=(BODY % (ids.show(ids.EVENT, event_id), kind)).encode(),
            created_at=datetime.now(UTC),
            **{
                "merchant_id": self.merchant_id,
                "livemode": False,
                "root_id": event_id,
                "object_id": event_id,
                "sequence": 1,
                **members,
            },
        )
        async with self.pool.acquire() as connection:
            await events.insert(connection, event)
        return event_id

    async def relay(self) -> list[asyncpg.Record]:
        """Give all events positions, as the leader does."""
        async with self.pool.acquire() as connection:
            if not self.fence:
                self.fence = await connection.fetchval(TAKE, "test", LEASE)
            return list(await connection.fetch(ASSIGN, self.fence, LEASE, 0))

    async def deliveries(self, endpoint: StoredEndpoint | None = None) -> list[asyncpg.Record]:
        """Their rows, oldest event first."""
        sql = "select * from webhook_deliveries where $1::uuid is null or endpoint_id = $1 order by event_id"
        return list(await self.pool.fetch(sql, endpoint and endpoint.id))

    async def attempts(self) -> list[asyncpg.Record]:
        """The attempts that ended, in order."""
        return list(await self.pool.fetch("select * from webhook_attempts order by started_at, attempt"))

    async def stored(self, endpoint: StoredEndpoint) -> StoredEndpoint:
        """The endpoint's row as it is now."""
        async with self.pool.acquire() as connection:
            found = await webhook_endpoints.get(connection, endpoint.merchant_id, endpoint.livemode, endpoint.id)
        assert found is not None
        return found

    @asynccontextmanager
    async def notifying(self, **changes: Any) -> AsyncIterator[Notifier]:
        """A notifier at work. `pace` and other settings may be changed; `senders` are arguments of `Senders`."""
        senders = changes.pop("senders", {})
        settings, clock = msgspec.structs.replace(self.settings, **changes), Clock()
        notifier = Notifier(
            settings=settings,
            pool=self.pool,
            clock=clock,
            sealer=self.sealer,
            senders=Senders(settings, clock, self.sealer, **senders),
        )
        task = asyncio.create_task(notifier.run())
        try:
            yield notifier
        finally:
            task.cancel()
            await notifier.stop(0.5)
            await asyncio.gather(task, return_exceptions=True)


def verified(keys: SigningKeys, received: Received) -> Any:
    """The body, if the reference implementation accepts its signature; raises what it raises."""
    return Webhook(keys.shared).verify(received.body, received.headers)
