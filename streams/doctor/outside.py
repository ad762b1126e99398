"""What lies outside: providers' accounts, the way back for their callbacks, and merchants' webhook endpoints."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import certifi
import httpcore
import httpx
from msgspec import Struct

from gateway import ids
from gateway.sealing import Sealer
from gateway.store import directory
from gateway.store.database import Connection
from gateway.store.directory import AccountRow
from gateway.store.vault import Vault
from gateway.usecases.brief import callback_url
from gateway.usecases.check_account import ask
from gateway.usecases.webhook_objects import is_filtered
from providers.addresses import PublicNetwork
from providers.checking import Finding as Checked
from streams.doctor.examination import Examination, reason
from streams.doctor.findings import Finding

MOST: Final = 20  # accounts, and endpoints, that are asked; those used last
PATIENCE_S: Final = 2.5
BACKLOG_WARN: Final = 1_000

_T = TypeVar("_T")


async def _each(what: Sequence[_T], look: Callable[[_T], Awaitable[Finding]]) -> list[Finding]:
    return list(await asyncio.gather(*map(look, what)))


def _rest(area: str, count: int, what: str) -> list[Finding]:
    """Says that not all were looked at."""
    left = count - MOST
    return [Finding(area, "warn", f"{left} more {what} were not asked: only {MOST} are.")] if left > 0 else []


# --- Accounts ---------------------------------------------------------------------------------------------------------

_UNKNOWN: Final = "The first payment shows it where the provider has no call for it; else look at the network."


async def accounts(at: Examination) -> list[Finding]:
    """Whether providers accept the credentials; they are asked something that moves no money."""
    pool = await at.opened()
    vault = Vault(pool, Sealer(*at.settings.keys("seal")), at.settings)
    async with pool.acquire() as connection:
        rows = await directory.enabled_accounts(connection)

    async def look(row: AccountRow) -> Finding:
        asked = ask(at.settings, vault, row, limit_s=PATIENCE_S)
        [found] = await asyncio.gather(asked, return_exceptions=True)
        return _account(row, found)

    if not rows:
        return [Finding("accounts", "warn", "There is no account at any provider.", "POST /v1/accounts makes one.")]
    return [*await _each(rows[:MOST], look), *_rest("accounts", len(rows), "accounts")]


def _account(row: AccountRow, found: Checked | BaseException) -> Finding:
    name = f"{ids.show(ids.ACCOUNT, row.id)} at {row.provider} ({'live' if row.livemode else 'test'})"
    if isinstance(found, BaseException):
        return Finding("accounts", "fail", f"{name} cannot be checked: {reason(found)}", "Look at the line `keys`.")
    said = " ".join(filter(None, (found.code, found.detail))) or "no more was said"
    match found.result:
        case "works":
            return Finding("accounts", "ok", f"{name}: the credentials are accepted.")
        case "refused":
            todo = "Correct its settings: PATCH /v1/accounts/{id}."
            return Finding("accounts", "fail", f"{name}: the credentials are refused ({said}).", todo)
        case _:
            what = f"{name}: whether the credentials work is unknown ({said})."
            return Finding("accounts", "warn", what, _UNKNOWN)


async def callbacks(at: Examination) -> list[Finding]:
    """Whether accounts' callback addresses lead back here. A request that stores nothing is made to each."""
    async with at.database() as connection:
        rows = await directory.enabled_accounts(connection)

    async with httpx.AsyncClient(timeout=PATIENCE_S, verify=_trust()) as client:

        async def look(row: AccountRow) -> Finding:
            [answer] = await asyncio.gather(
                client.options(callback_url(at.settings.public_url, row)), return_exceptions=True
            )
            return _callback(row, at.settings.public_url, answer)

        return await _each(rows[:MOST], look) or [Finding("callbacks", "ok", "No account waits for callbacks.")]


_UNREACHED: Final = "Start the API; check PUBLIC_URL, its name, its certificate and the proxy before it."


def _callback(row: AccountRow, public_url: str, answer: httpx.Response | BaseException) -> Finding:
    name = ids.show(ids.ACCOUNT, row.id)
    if isinstance(answer, BaseException):
        why = f"{public_url} does not answer: {reason(answer)}"
        return Finding("callbacks", "fail", f"{name}: {why}", _UNREACHED)
    if answer.status_code != 204 or "POST" not in answer.headers.get("allow", ""):
        what = f"{name}: at {public_url} somebody else answers (HTTP {answer.status_code})."
        return Finding("callbacks", "fail", what, _UNREACHED)
    return Finding("callbacks", "ok", f"{name}: its address leads here from this machine.")


def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


# --- Webhook endpoints ------------------------------------------------------------------------------------------------


class Endpoint(Struct, frozen=True, kw_only=True):
    """An endpoint, and what waits for it."""

    id: UUID
    livemode: bool
    url: str
    status: str
    disabled_reason: str | None
    waiting: int


_ENDPOINTS: Final = f"""
select e.id, e.livemode, e.url, e.status, e.disabled_reason,
       (select count(*) from (select from webhook_deliveries d
         where d.endpoint_id = e.id and d.next_attempt_at is not null limit {BACKLOG_WARN}) waiting)::int as waiting
  from webhook_endpoints e order by e.status, e.updated_at desc
"""


async def _endpoints(connection: Connection) -> list[Endpoint]:
    return [Endpoint(**row) for row in await connection.fetch(_ENDPOINTS)]


async def webhooks(at: Examination) -> list[Finding]:
    """Whether endpoints can be connected to, are enabled, and keep up. Nothing is sent to them."""
    async with at.database() as connection:
        rows = await _endpoints(connection)

    async def look(row: Endpoint) -> Finding:
        filtered = is_filtered(at.settings, livemode=row.livemode)
        connecting = _connect(row.url, PublicNetwork() if filtered else httpcore.AnyIOBackend())
        [failed] = await asyncio.gather(connecting, return_exceptions=True)
        return _endpoint(row, failed)

    if not rows:
        return [Finding("webhooks", "ok", "There are no webhook endpoints.")]
    return [*await _each(rows[:MOST], look), *_rest("webhooks", len(rows), "endpoints")]


def _endpoint(row: Endpoint, failed: BaseException | None) -> Finding:
    name = f"{ids.show(ids.WEBHOOK_ENDPOINT, row.id)} at {urlsplit(row.url).hostname}"
    if row.status != "enabled":
        why = f" ({row.disabled_reason})" if row.disabled_reason else ""
        todo = "Its merchant enables it again: PATCH /v1/webhook_endpoints/{id}."
        return Finding("webhooks", "warn", f"{name} is {row.status}{why}: it gets nothing.", todo)
    if failed is not None:
        todo = "Tell its merchant. Deliveries are repeated for days; then it is disabled."
        return Finding("webhooks", "warn", f"{name} cannot be connected to: {reason(failed)}", todo)
    if row.waiting >= BACKLOG_WARN:
        found = f"{name}: {BACKLOG_WARN} deliveries or more wait."
        return Finding("webhooks", "warn", found, "It answers slowly or with errors: look at its attempts.")
    return Finding("webhooks", "ok", f"{name} can be connected to; {row.waiting} deliveries wait.")


async def _connect(url: str, network: httpcore.AsyncNetworkBackend) -> None:
    """Connect, with TLS where the address says so, and send nothing."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    stream = await network.connect_tcp(parts.hostname or "", port, timeout=PATIENCE_S)
    try:
        if secure:
            stream = await stream.start_tls(_trust(), server_hostname=parts.hostname, timeout=PATIENCE_S)
    finally:
        await stream.aclose()
