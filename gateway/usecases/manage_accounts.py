"""A merchant's accounts at providers: made, changed, disabled; their credentials sealed, and never shown again."""

import secrets
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import account_settings, ids
from gateway.payments.errors import MyPayError
from gateway.payments.views import encode, timestamp
from gateway.services import Services
from gateway.store import configured_accounts as store
from gateway.store.accounts import CALLBACK_TOKEN_BYTES, market_of
from gateway.store.configured_accounts import StoredAccount
from gateway.store.credentials import open_settings, seal_settings
from gateway.store.database import Connection
from gateway.usecases.brief import callback_url
from gateway.usecases.configure import Asker, Change, Configured, configure
from providers.checking import Result
from providers.registry import PROVIDERS


class LastCheck(Struct, frozen=True, kw_only=True):
    """What the newest check of these settings found.

    works: the provider accepts the credentials · refused: it does not; `code` is its own word · unknown: it was not
    reached, or said nothing from which it can be told. `detail` is for people.
    """

    result: Result
    code: str | None
    detail: str | None
    checked_at: str


_decode_check = msgspec.json.Decoder(LastCheck).decode


class AccountObject(Struct, kw_only=True):
    """An account as the API shows it. `callback_url` is where the provider reports, unless a request tells it more."""

    id: str
    object: Literal["account"] = "account"
    livemode: bool
    provider: str
    label: str
    enabled: bool
    priority: int
    settings: dict[str, Any]
    callback_url: str
    last_check: LastCheck | None
    created_at: str
    updated_at: str


class NewAccount(Struct, frozen=True, kw_only=True):
    """What is asked for; `settings` is the provider's Struct, checked."""

    provider: str
    settings: Struct
    label: str
    priority: int
    enabled: bool


async def create(services: Services, asker: Asker, new: NewAccount) -> Configured:
    """Make an account."""

    async def work(connection: Connection, now: datetime) -> Change:
        account = _sealed(services, _account(asker, new, now), new.settings)
        await store.insert(connection, account)
        await store.insert_settings(connection, account)
        shown = {name: getattr(account, name) for name in ("provider", "label", "priority", "enabled")}
        return _change(services, "account.create", account, shown)

    done = await configure(services, asker, work)
    await _known_at_once(services, asker)
    return done


async def update(
    services: Services, asker: Asker, account_id: UUID, members: dict[str, Any], settings: Struct | None
) -> Configured:
    """Change `members` of the account's row, and those members of its settings that are not UNSET.

    Raises 404, 400, and 409 `settings_immutable`.
    """

    async def work(connection: Connection, now: datetime) -> Change:
        await store.lock(connection, asker.merchant_id, asker.livemode, account_id)
        before = await store.get(connection, asker.merchant_id, asker.livemode, account_id)
        if before is None:
            raise MyPayError("not_found", "There is no such account.")
        after, renewed = before, _renewed(services, before, settings)
        changes = {name: value for name, value in members.items() if value != getattr(before, name)}
        if changes or renewed is not None:
            after = msgspec.structs.replace(before, updated_at=now, **changes)
        if renewed is not None:
            names, value = renewed
            changes["settings"] = names
            version = before.settings_version + 1
            after = _sealed(services, msgspec.structs.replace(after, settings_version=version, last_check=None), value)
            await store.insert_settings(connection, after)
        if changes:
            await store.update(connection, after)
        return _change(services, "account.update", after, changes or None)

    done = await configure(services, asker, work)
    await _known_at_once(services, asker)
    return done


def _renewed(services: Services, account: StoredAccount, settings: Struct | None) -> tuple[list[str], Struct] | None:
    """The names of the settings that change, and the whole settings then; None when none does."""
    if settings is None:
        return None
    spec, before, wanted = PROVIDERS[account.provider], _opened(services, account), account_settings.given(settings)
    private_targets = services.settings.private_targets
    account_settings.check(spec, wanted, livemode=account.livemode, private_targets=private_targets)
    account_settings.refuse_identity(spec, before, wanted)
    after = msgspec.structs.replace(before, **wanted)
    return (sorted(wanted), after) if after != before else None


async def _known_at_once(services: Services, asker: Asker) -> None:
    """This process routes by the change from now on; the others within seconds."""
    await services.accounts.of(asker.merchant_id, asker.livemode, fresh=True)


def _account(asker: Asker, new: NewAccount, now: datetime) -> StoredAccount:
    countries, currencies = market_of(new.provider, new.settings)
    return StoredAccount(
        id=ids.new_at(now),
        merchant_id=asker.merchant_id,
        provider=new.provider,
        livemode=asker.livemode,
        label=new.label,
        enabled=new.enabled,
        priority=new.priority,
        callback_token=secrets.token_urlsafe(CALLBACK_TOKEN_BYTES),
        settings_version=1,
        created_at=now,
        updated_at=now,
        countries=countries,
        currencies=currencies,
        sealed=b"",
    )


def _sealed(services: Services, account: StoredAccount, settings: Struct) -> StoredAccount:
    version, merchant_id = account.settings_version, account.merchant_id
    sealed = seal_settings(services.sealer, settings, account_id=account.id, version=version, merchant_id=merchant_id)
    return msgspec.structs.replace(account, sealed=sealed)


def _opened(services: Services, account: StoredAccount) -> Struct:
    return open_settings(
        services.sealer,
        account.sealed,
        provider=account.provider,
        account_id=account.id,
        version=account.settings_version,
        merchant_id=account.merchant_id,
    )


def _change(services: Services, action: str, account: StoredAccount, changes: dict[str, Any] | None) -> Change:
    return Change(
        action=action,
        object_id=account.id,
        shown_id=ids.show(ids.ACCOUNT, account.id),
        changes=changes,
        body=shown(services, account),
    )


def shown(services: Services, account: StoredAccount) -> bytes:
    """The account as JSON, its secrets masked."""
    return encode(
        AccountObject(
            id=ids.show(ids.ACCOUNT, account.id),
            livemode=account.livemode,
            provider=account.provider,
            label=account.label,
            enabled=account.enabled,
            priority=account.priority,
            settings=account_settings.masked(_opened(services, account)),
            callback_url=callback_url(services.settings.public_url, account),
            last_check=None if account.last_check is None else _decode_check(account.last_check),
            created_at=timestamp(account.created_at),
            updated_at=timestamp(account.updated_at),
        )
    )
