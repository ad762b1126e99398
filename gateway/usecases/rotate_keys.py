"""A new SECRET_KEY in the place of the previous one: every sealed secret re-wrapped, every anchor signed again.

Each batch is a transaction, with its audit row; what is done is recognised by itself, so that the work can be broken
off and begun again at any time, beside processes that serve. Secrets are not opened: only their data keys are wrapped.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from gateway import ids
from gateway.clock import Clock
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import audit, audit_chain, sealed
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, Pool
from gateway.store.sealed import COLUMNS, Column
from gateway.usecases import audit_trail

AGAIN_S: Final = 0.1  # rows that others hold are looked for again

log = structlog.get_logger(__name__)


async def rotate(settings: Settings, pool: Pool, clock: Clock, actor: str) -> Counter[str]:
    """Do it; how many secrets of each table were re-wrapped, and how many anchors signed again.

    Raises `SealBroken` for a secret that neither key opens; what was done before stays done.
    """
    sealer, done = Sealer(*settings.keys("seal")), Counter[str]()
    for column in COLUMNS:
        async for count in _batches(pool, column, sealer, clock, actor):
            done[column.table] += count
    async with pool.acquire() as connection:
        chains = await audit_chain.chains(connection)
    for merchant_id, livemode in chains:
        chain = audit_trail.chain_of(settings, merchant_id, livemode)
        async with _recording(pool, clock, actor, "audit_anchors") as (connection, counted):
            counted.append(await audit_chain.sign_again(connection, chain))
        done["audit_anchors"] += counted[0]
    return done


async def _batches(pool: Pool, column: Column, sealer: Sealer, clock: Clock, actor: str) -> AsyncIterator[int]:
    """Re-wrap until nothing is left, also of what was locked meanwhile."""
    while True:
        async with _recording(pool, clock, actor, column.table) as (connection, counted):
            counted.append(await sealed.rewrap(connection, column, sealer))
        yield counted[0]
        if not counted[0]:
            async with pool.acquire() as connection:
                if not await sealed.stale(connection, column, sealer):
                    return
            await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def _recording(pool: Pool, clock: Clock, actor: str, table: str) -> AsyncIterator[tuple[Connection, list[int]]]:
    """A transaction, and its audit row if what is counted in it is more than nothing."""
    async with pool.acquire() as connection, connection.transaction():
        counted: list[int] = []
        yield connection, counted
        if sum(counted):
            row = AuditRow(
                merchant_id=ids.NIL,  # the installation itself
                actor=actor,
                action="secret_key.rotate",
                object_id="installation",
                changes={"table": table, "rows": sum(counted)},
            )
            await audit.insert(connection, row, clock.now(), livemode=False)
            log.info("keys.rotated", table=table, rows=sum(counted))
