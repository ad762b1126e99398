"""The configuration as the hot path reads it: keys and accounts, by asyncpg.

A key and a callback token are how a caller proves which merchant it is; whoever serves a merchant asks for
`merchant_accounts`. `account` is for workers, which act for every merchant.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway.store.database import Connection


class ApiKeyRow(Struct, frozen=True, kw_only=True):
    """A key as authentication needs it."""

    id: UUID
    merchant_id: UUID
    livemode: bool
    revoked_at: datetime | None
    key_hash: bytes
    resources: bytes | None = None  # JSON; None: everything
    ip_ranges: list[str] | None = None  # CIDRs; None: from anywhere
    expires_at: datetime | None = None
    expired: bool = False  # by the database's clock


class AccountRow(Struct, frozen=True, kw_only=True):
    """A merchant's account at a provider, without its credentials."""

    id: UUID
    merchant_id: UUID
    provider: str
    livemode: bool
    label: str
    enabled: bool
    priority: int
    callback_token: str
    settings_version: int
    created_at: datetime
    countries: list[str] | None = None  # its market; None: its provider's
    currencies: list[str] | None = None


_ACCOUNT: Final = f"select {', '.join(AccountRow.__struct_fields__)} from accounts"
_SAMPLE: Final = f"""
select {", ".join(f"a.{name}" for name in AccountRow.__struct_fields__ if name != "settings_version")},
       s.version as settings_version, s.sealed
  from account_settings s join accounts a on a.id = s.account_id
 order by substring(s.sealed from 2 for 8) = any($1::bytea[]), a.created_at, s.version desc limit 1
"""
_KEY: Final = """
select id, merchant_id, livemode, revoked_at, key_hash, resources, ip_ranges, expires_at,
       coalesce(expires_at <= now(), false) as expired
  from api_keys where key_hash = $1
"""


async def find_key(connection: Connection, digest: bytes) -> ApiKeyRow | None:
    """The key with this SHA-256, those revoked and expired included."""
    row = await connection.fetchrow(_KEY, digest)
    return ApiKeyRow(**row) if row else None


async def merchant_accounts(connection: Connection, merchant_id: UUID, livemode: bool) -> list[AccountRow]:
    """A merchant's accounts of one mode, disabled ones included, in the order in which the router prefers them."""
    rows = await connection.fetch(
        f"{_ACCOUNT} where merchant_id = $1 and livemode = $2 order by priority, created_at, id", merchant_id, livemode
    )
    return [AccountRow(**row) for row in rows]


async def account(connection: Connection, account_id: UUID) -> AccountRow | None:
    """One account, whosever it is."""
    row = await connection.fetchrow(f"{_ACCOUNT} where id = $1", account_id)
    return AccountRow(**row) if row else None


async def enabled_accounts(connection: Connection) -> list[AccountRow]:
    """The enabled accounts of all merchants, those changed last first: for operators."""
    rows = await connection.fetch(f"{_ACCOUNT} where enabled order by updated_at desc, id")
    return [AccountRow(**row) for row in rows]


async def account_by_token(connection: Connection, provider: str, token: str) -> AccountRow | None:
    """The account whose callbacks come to this address; disabled ones too, since their payments still settle."""
    row = await connection.fetchrow(f"{_ACCOUNT} where callback_token = $1 and provider = $2", token, provider)
    return AccountRow(**row) if row else None


async def sealed_settings(connection: Connection, account_id: UUID, version: int) -> bytes | None:
    """One version of an account's credentials, for `credentials.open_settings`."""
    sealed = await connection.fetchval(
        "select sealed from account_settings where account_id = $1 and version = $2", account_id, version
    )
    return None if sealed is None else bytes(sealed)


async def some_sealed_settings(connection: Connection, known: list[bytes]) -> tuple[AccountRow, bytes] | None:
    """An account with one version of its credentials: what proves at start that we hold the right keys.

    Where there are credentials under none of the `known` keys (their ids), it is one of those.
    """
    row = await connection.fetchrow(_SAMPLE, known)
    if row is None:
        return None
    columns = dict(row)
    sealed = bytes(columns.pop("sealed"))
    return AccountRow(**columns), sealed
