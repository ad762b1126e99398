"""The audit trail's chain: rows that wait for their place, giving it to them, anchors, and reading it in order."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.audit_chain import Anchor, Chain
from gateway.store.audit import COLUMNS, StoredAudit
from gateway.store.database import Connection

_LOCK: Final = 0x6D79_7061_7902  # any constant: one sealer per database at a time
BATCH: Final = 500
PAGE_ROWS: Final = 100  # each is hashed between two awaits: some milliseconds in which nobody else is served
START: Final = (0, ids.NIL)  # before the first row
LOCK: Final = "select pg_try_advisory_xact_lock($1)"
UNSEALED: Final = f"""
select merchant_id, {COLUMNS} from audit_events where position is null order by created_at, id limit {BATCH}
"""
SEAL: Final = """
update audit_events e set position = s.position, prev_hash = s.prev_hash, hash = s.hash
  from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[]) as s (id, position, prev_hash, hash)
 where e.id = s.id
"""
_ANCHOR: Final = "position, hash, signature, created_at, is_floor"
LAST_ANCHOR: Final = f"""
select {_ANCHOR} from audit_anchors where merchant_id = $1 and livemode = $2 order by position desc limit 1
"""
ANCHOR: Final = f"insert into audit_anchors (merchant_id, livemode, {_ANCHOR}) values ($1, $2, $3, $4, $5, $6, $7)"
FLOOR: Final = f"select {_ANCHOR} from audit_anchors where merchant_id = $1 and livemode = $2 and is_floor"
FORGET_ANCHORS: Final = "delete from audit_anchors where merchant_id = $1 and livemode = $2 and position <= $3"
LAST_BEFORE: Final = """
select distinct on (merchant_id, livemode) merchant_id, livemode, position, hash from audit_events
 where id < $1 and position is not null order by merchant_id, livemode, position desc
"""
IS_BEGINNING: Final = f"""
select not exists (select from ({LAST_BEFORE}) as last join audit_events e
                       on e.merchant_id = last.merchant_id and e.livemode = last.livemode
                      and e.position < last.position and e.id >= $1)
"""
ANCHORS: Final = f"select {_ANCHOR} from audit_anchors where merchant_id = $1 and livemode = $2 order by position"
RESIGN: Final = """
update audit_anchors set signature = $4 where merchant_id = $1 and livemode = $2 and position = $3
"""
PAGE: Final = f"""
select {", ".join(f"e.{name.strip()}" for name in COLUMNS.split(","))},
       a.hash as anchor_hash, a.signature as anchor_signature
  from audit_events e
  left join audit_anchors a on a.merchant_id = e.merchant_id and a.livemode = e.livemode and a.position = e.position
                           and not a.is_floor
 where e.merchant_id = $1 and e.livemode = $2 and e.position is not null
   and (e.position, e.id) > ($3, $4) and e.position <= $5
 order by e.position, e.id limit {PAGE_ROWS}
"""
# One statement, one snapshot: a batch is sealed and anchored in one transaction.
FIRST_UNANCHORED: Final = """
select id, position from audit_events
 where merchant_id = $1 and livemode = $2
   and position > (select coalesce(max(position), 0) from audit_anchors where merchant_id = $1 and livemode = $2)
 order by position, id limit 1
"""
CHAINS: Final = """
select merchant_id, livemode from audit_anchors union select merchant_id, livemode from audit_events order by 1, 2
"""


class Sealed(Struct, frozen=True, kw_only=True):
    """A row's place in its chain."""

    id: UUID
    position: int
    prev_hash: bytes
    hash: bytes


class Head(NamedTuple):
    """The last row of a part of a chain."""

    merchant_id: UUID
    livemode: bool
    position: int
    hash: bytes


class Unsealed(NamedTuple):
    """A row without a place, and whose it is."""

    merchant_id: UUID
    row: StoredAudit


class ChainedAudit(NamedTuple):
    """A row, and the anchor at its position."""

    row: StoredAudit
    anchor_hash: bytes | None
    anchor_signature: bytes | None


async def unsealed(connection: Connection) -> list[Unsealed]:
    """Up to `BATCH` rows without a place, oldest first."""
    rows = [dict(row) for row in await connection.fetch(UNSEALED)]
    return [Unsealed(row.pop("merchant_id"), StoredAudit(**row)) for row in rows]


async def lock(connection: Connection) -> bool:
    """Be the only sealer until the transaction ends; False when another one is at work."""
    locked: bool = await connection.fetchval(LOCK, _LOCK)
    return locked


async def seal(connection: Connection, sealed: Sequence[Sealed]) -> None:
    """Give the rows their places."""
    columns = zip(*((each.id, each.position, each.prev_hash, each.hash) for each in sealed), strict=True)
    await connection.execute(SEAL, *columns)


async def last_anchor(connection: Connection, merchant_id: UUID, livemode: bool) -> Anchor | None:
    """The newest anchor of a chain, whose head it is."""
    row = await connection.fetchrow(LAST_ANCHOR, merchant_id, livemode)
    return None if row is None else Anchor(**row)


async def anchor(connection: Connection, merchant_id: UUID, livemode: bool, new: Anchor) -> None:
    """Keep an anchor."""
    columns = (new.position, new.hash, new.signature, new.created_at, new.is_floor)
    await connection.execute(ANCHOR, merchant_id, livemode, *columns)


async def floor(connection: Connection, merchant_id: UUID, livemode: bool) -> Anchor | None:
    """The anchor after which a chain begins; None where it begins at its beginning."""
    row = await connection.fetchrow(FLOOR, merchant_id, livemode)
    return None if row is None else Anchor(**row)


async def raise_floor(connection: Connection, merchant_id: UUID, livemode: bool, new: Anchor) -> None:
    """Let a chain begin after this; the anchors before it have nothing left that they are about."""
    await connection.execute(FORGET_ANCHORS, merchant_id, livemode, new.position)
    await anchor(connection, merchant_id, livemode, new)


async def last_before(connection: Connection, day: UUID) -> list[Head]:
    """Of each chain the last row of the days before."""
    return [Head(**row) for row in await connection.fetch(LAST_BEFORE, day)]


async def is_beginning(connection: Connection, day: UUID) -> bool:
    """Whether the rows of the days before are the beginning of each chain. One that was sealed late may not be."""
    beginning: bool = await connection.fetchval(IS_BEGINNING, day)
    return beginning


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, after: tuple[int, UUID], until: int
) -> list[ChainedAudit]:
    """Up to `PAGE_ROWS` rows after a position and id, as far as `until`, in the order of the chain."""
    rows = [dict(row) for row in await connection.fetch(PAGE, merchant_id, livemode, *after, until)]
    return [
        ChainedAudit(
            anchor_hash=row.pop("anchor_hash"), anchor_signature=row.pop("anchor_signature"), row=StoredAudit(**row)
        )
        for row in rows
    ]


async def first_unanchored(connection: Connection, merchant_id: UUID, livemode: bool) -> tuple[int, UUID] | None:
    """The first row that has a place and that no anchor covers: there is none unless somebody wrote it by hand."""
    row = await connection.fetchrow(FIRST_UNANCHORED, merchant_id, livemode)
    return None if row is None else (row["position"], row["id"])


async def chains(connection: Connection) -> list[tuple[UUID, bool]]:
    """Every chain there is: whose, and in which mode."""
    return [(row["merchant_id"], row["livemode"]) for row in await connection.fetch(CHAINS)]


async def sign_again(connection: Connection, chain: Chain) -> int:
    """Sign under the current key what an earlier one of ours has signed; how many anchors that were.

    What none of our keys has signed is left as it is: a check must find it.
    """
    anchors = [Anchor(**row) for row in await connection.fetch(ANCHORS, chain.merchant_id, chain.livemode)]
    ours = [a for a in anchors if chain.is_signed(a.position, a.hash, a.signature, is_floor=a.is_floor)]
    signed = [(each, chain.sign(each.position, each.hash, is_floor=each.is_floor)) for each in ours]
    changed = [
        (chain.merchant_id, chain.livemode, each.position, signature)
        for each, signature in signed
        if signature != each.signature
    ]
    await connection.executemany(RESIGN, changed)
    return len(changed)
