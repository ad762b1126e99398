"""Whether an account's credentials work: the provider is asked something that moves no money."""

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from gateway import ids
from gateway.payments.errors import MyPayError
from gateway.payments.views import timestamp
from gateway.services import Services
from gateway.settings import Settings
from gateway.store import configured_accounts as store
from gateway.store.database import Connection
from gateway.store.vault import AnyAccount, Vault, network_for
from gateway.usecases.brief import callback_url
from gateway.usecases.configure import Asker, Change, Configured, configure, replay
from gateway.usecases.manage_accounts import LastCheck, shown
from providers.checking import Finding, check_flow, finding
from providers.contract import ConfigurationMissing, NotSent, Outcome
from providers.redaction import presentable, secrets_of
from providers.registry import PROVIDERS
from providers.transport import Caller

CHECK_S: Final = 10.0  # a client waits for it
AT_ONCE: Final = 8  # of one process: a merchant must not occupy it with a provider that hangs

_under_way = asyncio.Semaphore(AT_ONCE)


async def check(services: Services, asker: Asker, account_id: UUID) -> Configured:
    """Ask the provider, keep what it said on the account, and answer the account.

    The credentials are those of the newest version of the settings. Raises 404, and 503 when too many are being asked.
    """
    if (earlier := await replay(services, asker)) is not None:
        return earlier
    async with services.reading() as connection:
        account = await store.get(connection, asker.merchant_id, asker.livemode, account_id)
    if account is None:
        raise MyPayError("not_found", "There is no such account.")
    if _under_way.locked():
        raise MyPayError("unavailable", "Too many accounts are being checked.")
    async with _under_way:
        found = await ask(services.settings, services.vault, account)

    async def work(connection: Connection, now: datetime) -> Change:
        last_check = LastCheck(result=found.result, code=found.code, detail=found.detail, checked_at=timestamp(now))
        encoded = msgspec.json.encode(last_check)
        is_of_now = await store.checked(connection, account, encoded)
        current = await store.get(connection, asker.merchant_id, asker.livemode, account_id) or account
        return Change(
            action="account.check",
            object_id=account_id,
            shown_id=ids.show(ids.ACCOUNT, account_id),
            changes={"result": found.result, "current": is_of_now},
            body=shown(services, current),
        )

    return await configure(services, asker, work)


async def ask(settings: Settings, vault: Vault, account: AnyAccount, *, limit_s: float = CHECK_S) -> Finding:
    """Ask the provider within `limit_s`. Raises `SealBroken`."""
    spec = PROVIDERS[account.provider]
    sent: list[bool] = []
    try:
        credentials = await vault.settings(account.id, account.settings_version)
        base_url = spec.base_url(credentials, account.livemode)
        caller = Caller(spec, credentials, base_url, network=network_for(settings, account, base_url))
    except ConfigurationMissing as error:
        return finding(NotSent(detail=str(error)), sent=False)
    try:
        outcome: Outcome = await caller.call(
            check_flow(spec, credentials, callback_url(settings.public_url, account)),
            deadline_s=min(limit_s, spec.deadline_s),
            after_send=lambda: sent.append(True),
        )
    finally:
        await caller.aclose()
    return finding(presentable(outcome, secrets_of(credentials)), sent=bool(sent))
