"""Idempotency keys of all requests but the creation of payments, whose keys `gateway.store.accept` writes."""

from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.store.database import Connection

FIND: Final = """
select fingerprint, object_id, response from idempotency_keys
 where lp = $1 and merchant_id = $2 and livemode = $3 and root_id = $4 and key = $5
"""
INSERT: Final = """
insert into idempotency_keys (lp, merchant_id, livemode, root_id, key, fingerprint, object_id, response, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
LOCK: Final = "select pg_advisory_xact_lock($1)"


class Scope(Struct, frozen=True, kw_only=True):
    """Where a key is unique: one merchant, one mode, one payment; for configuration `root_id` is the merchant."""

    merchant_id: UUID
    livemode: bool
    root_id: UUID
    key: str


class Stored(Struct, frozen=True):
    """What a key was used for, and the answer that was given."""

    fingerprint: bytes
    object_id: UUID
    response: bytes


async def find(connection: Connection, scope: Scope) -> Stored | None:
    """What this key was used for, or None. Read it under the payment's lock, or after `lock`."""
    row = await connection.fetchrow(FIND, *_columns(scope))
    return None if row is None else Stored(bytes(row["fingerprint"]), row["object_id"], bytes(row["response"]))


async def lock(connection: Connection, scope: Scope) -> None:
    """Wait for another transaction with this key, where nothing else is locked that both would wait for."""
    digest = sha256(repr(_columns(scope)).encode()).digest()
    await connection.execute(LOCK, int.from_bytes(digest[:8], signed=True))


async def insert(
    connection: Connection, scope: Scope, fingerprint: bytes, object_id: UUID, response: bytes, now: datetime
) -> None:
    """Keep the answer, in the transaction that made it true."""
    await connection.execute(INSERT, *_columns(scope), fingerprint, object_id, response, now)


def _columns(scope: Scope) -> tuple[int, UUID, bool, UUID, str]:
    return (ids.lp_of(scope.root_id), scope.merchant_id, scope.livemode, scope.root_id, scope.key)
