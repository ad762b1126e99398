"""The audit trail: shown, sealed into its chains in the background, and checked."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import groupby
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from gateway import audit_chain, ids
from gateway.audit_chain import GENESIS, Anchor, Bad, Chain, Link, Walk
from gateway.payments.errors import invalid
from gateway.payments.views import timestamp
from gateway.settings import Settings
from gateway.store import audit_chain as store
from gateway.store.audit import StoredAudit
from gateway.store.audit_chain import ChainedAudit, Sealed, Unsealed
from gateway.store.database import Connection

Reading = Callable[[], AbstractAsyncContextManager[Connection]]

log = structlog.get_logger(__name__)


class AuditEventObject(Struct, kw_only=True):
    """One change by a key or a person, or a sign-in.

    `actor` is the id of an API key or a user, "operator:…" for the installation's command line, or "anonymous" for who
    has not signed in. `ip` is the client's, as trusted proxies saw it. `changes` are the new values; of settings only
    the names. `position`, `prev_hash` and `hash` are its place in the chain of this merchant and mode, null until it is
    sealed, a second later: `hash` is SHA-256, in hex, over the canonical JSON (RFC 8785) of this object without `hash`.
    """

    id: str
    object: Literal["audit_event"] = "audit_event"
    livemode: bool
    actor: str
    action: str
    object_id: str
    ip: str | None
    request_id: str | None
    outcome: str
    changes: dict[str, Any]
    position: int | None
    prev_hash: str | None
    hash: str | None
    created_at: str
    updated_at: str


def shown(row: StoredAudit) -> AuditEventObject:
    """The row as the API shows it."""
    at = timestamp(row.created_at)
    return AuditEventObject(
        id=ids.show(ids.AUDIT_EVENT, row.id),
        livemode=row.livemode,
        actor=row.actor,
        action=row.action,
        object_id=row.object_id,
        ip=row.ip,
        request_id=row.request_id,
        outcome=row.outcome,
        changes=msgspec.json.decode(row.changes),
        position=row.position,
        prev_hash=None if row.prev_hash is None else row.prev_hash.hex(),
        hash=None if row.hash is None else row.hash.hex(),
        created_at=at,
        updated_at=at,
    )


def chain_of(settings: Settings, merchant_id: UUID, livemode: bool) -> Chain:
    """The chain of a merchant and mode, with the keys of its anchors."""
    return Chain(merchant_id=merchant_id, livemode=livemode, keys=settings.keys("audit-anchor"))


# --- Sealing ----------------------------------------------------------------------------------------------------------


async def seal(settings: Settings, connection: Connection, now: datetime) -> int:
    """Give the oldest rows without a place theirs, and anchor each chain that grew; how many rows that were.

    One sealer works at a time; another one finds nothing to do.
    """
    if not await store.unsealed(connection):
        return 0
    async with connection.transaction():
        if not await store.lock(connection):
            return 0
        waiting = sorted(await store.unsealed(connection), key=_owner)
        for (merchant_id, livemode), rows in groupby(waiting, key=_owner):
            chain = chain_of(settings, merchant_id, livemode)
            await _extend(connection, chain, [each.row for each in rows], now)
    return len(waiting)


def _owner(waiting: Unsealed) -> tuple[UUID, bool]:
    return waiting.merchant_id, waiting.row.livemode


async def _extend(connection: Connection, chain: Chain, rows: Sequence[StoredAudit], now: datetime) -> None:
    head = await store.last_anchor(connection, chain.merchant_id, chain.livemode)
    position, prev_hash = (head.position, head.hash) if head else (0, GENESIS)
    sealed: list[Sealed] = []
    for row in rows:
        position += 1
        digest = _digest(msgspec.structs.replace(row, position=position, prev_hash=prev_hash))
        sealed.append(Sealed(id=row.id, position=position, prev_hash=prev_hash, hash=digest))
        prev_hash = digest
    await store.seal(connection, sealed)
    signature = chain.sign(position, prev_hash)
    anchor = Anchor(position=position, hash=prev_hash, signature=signature, created_at=now)
    await store.anchor(connection, chain.merchant_id, chain.livemode, anchor)
    merchant = ids.show(ids.MERCHANT, chain.merchant_id)
    log.info("audit.anchored", merchant=merchant, livemode=chain.livemode, position=position, hash=prev_hash.hex())


def _digest(row: StoredAudit) -> bytes:
    return audit_chain.digest(msgspec.structs.asdict(shown(row)))


# --- Checking ---------------------------------------------------------------------------------------------------------


class Verdict(Struct, frozen=True, kw_only=True):
    """What checking a chain found; `checked` rows hold. `anchor` is the newest one; the chain begins after `floor`."""

    bad: Bad | None
    checked: int
    anchor: Anchor | None
    floor: Anchor | None = None


async def verify(
    reading: Reading, chain: Chain, kept: tuple[int, bytes] | None = None, *, until: int | None = None
) -> Verdict:
    """Recompute a whole chain, page by page. `kept`: a position, and the hash that it must have. `until`: only so far.

    Raises `invalid_request` for a kept position of which nothing is left to compare.
    """
    while True:
        async with reading() as connection:
            floor = await store.floor(connection, chain.merchant_id, chain.livemode)
        if floor is not None and kept is not None and kept[0] < floor.position:
            detail = f"The trail up to position {floor.position} was dropped for its age: compare a newer position."
            raise invalid("/position", "out_of_range", detail)
        verdict = await _verify(reading, chain, kept, floor, until)
        if verdict.bad is None:
            return verdict
        async with reading() as connection:  # what was dropped meanwhile is not missing
            if await store.floor(connection, chain.merchant_id, chain.livemode) == floor:
                return verdict


async def _verify(
    reading: Reading, chain: Chain, kept: tuple[int, bytes] | None, floor: Anchor | None, until: int | None
) -> Verdict:
    walk = Walk(chain, kept, floor)
    async with reading() as connection:
        last = await store.last_anchor(connection, chain.merchant_id, chain.livemode)
    after, end = store.START, until or (0 if last is None else last.position)
    while walk.bad is None:
        async with reading() as connection:
            rows = await store.page(connection, chain.merchant_id, chain.livemode, after, end)
        if not rows or not all(walk.follow(_link(each)) for each in rows):
            break
        after = walk.position, rows[-1].row.id
    if until is None:
        walk.end(last)
    bad = walk.bad
    if bad is None:
        async with reading() as connection:
            beyond = await store.first_unanchored(connection, chain.merchant_id, chain.livemode)
        bad = None if beyond is None else Bad(position=beyond[0], id=beyond[1], reason="unanchored")
    return Verdict(bad=bad, checked=walk.checked, anchor=last, floor=floor)


def _link(chained: ChainedAudit) -> Link:
    row = chained.row
    assert row.position is not None
    return Link(
        id=row.id,
        position=row.position,
        prev_hash=row.prev_hash,
        hash=row.hash,
        computed=_digest(row),
        anchor_hash=chained.anchor_hash,
        anchor_signature=chained.anchor_signature,
    )


# --- Dropping what is old ---------------------------------------------------------------------------------------------


async def broken_before(settings: Settings, reading: Reading, day: UUID) -> str | None:
    """A merchant whose chain does not hold up to a day, if there is one: evidence of that is not dropped."""
    async with reading() as connection:
        heads = await store.last_before(connection, day)
    for head in heads:
        chain = chain_of(settings, head.merchant_id, head.livemode)
        if (await verify(reading, chain, until=head.position)).bad is not None:
            return ids.show(ids.MERCHANT, head.merchant_id)
    return None


async def begin_after(settings: Settings, connection: Connection, day: UUID, now: datetime) -> bool:
    """Let every chain begin with a day, in the transaction that drops the days before.

    False, and nothing is done, while these are not a beginning of each chain, or a sealer is at work.
    """
    if not await store.lock(connection) or not await store.is_beginning(connection, day):
        return False
    for head in await store.last_before(connection, day):
        chain = chain_of(settings, head.merchant_id, head.livemode)
        signature = chain.sign(head.position, head.hash, is_floor=True)
        floor = Anchor(position=head.position, hash=head.hash, signature=signature, created_at=now, is_floor=True)
        await store.raise_floor(connection, head.merchant_id, head.livemode, floor)
        merchant = ids.show(ids.MERCHANT, head.merchant_id)
        log.info("audit.begins_after", merchant=merchant, livemode=head.livemode, position=head.position)
    return True
