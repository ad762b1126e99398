"""A merchant's routing rules, by version: the newest one counts, and none is ever changed."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from gateway.routing.rules import Rule, Rules
from gateway.store.database import Connection

NEWEST: Final = """
select version, rules, created_at from routing_rules
 where merchant_id = $1 and livemode = $2 order by version desc limit 1
"""
INSERT: Final = """
insert into routing_rules (merchant_id, livemode, version, rules, created_at) values ($1, $2, $3, $4, $5)
on conflict do nothing
"""
STRANGERS: Final = """
select exists (select from unnest($3::uuid[]) as named (id) where not exists (
    select from accounts a where a.id = named.id and a.merchant_id = $1 and a.livemode = $2))
"""

_decode: Final = msgspec.json.Decoder(tuple[Rule, ...]).decode


class StoredRules(NamedTuple):
    """Rules, and since when they count."""

    rules: Rules
    created_at: datetime


async def newest(connection: Connection, merchant_id: UUID, livemode: bool) -> StoredRules | None:
    """The rules that count; None where there never were any."""
    row = await connection.fetchrow(NEWEST, merchant_id, livemode)
    if row is None:
        return None
    return StoredRules(Rules(version=row["version"], rules=_decode(row["rules"])), row["created_at"])


async def insert(connection: Connection, merchant_id: UUID, livemode: bool, rules: Rules, now: datetime) -> bool:
    """Keep a new version; False when somebody else has made this version meanwhile."""
    encoded = msgspec.json.encode(rules.rules)
    done = await connection.execute(INSERT, merchant_id, livemode, rules.version, encoded, now)
    return bool(done == "INSERT 0 1")


async def names_strangers(connection: Connection, merchant_id: UUID, livemode: bool, accounts: list[UUID]) -> bool:
    """Whether one of these accounts is not the merchant's, of this mode."""
    found: bool = await connection.fetchval(STRANGERS, merchant_id, livemode, accounts)
    return found
