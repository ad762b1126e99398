"""A merchant's API keys: made, rotated, revoked. The text of a key is shown once, by the answer that made it.

Nobody grants what he does not have: a key makes only keys that may do no more than itself, from no other addresses, and
that do not outlive it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import addresses, ids, keys, scopes
from gateway.addresses import Network
from gateway.payments.errors import MyPayError
from gateway.payments.views import encode, timestamp, timestamp_or_null
from gateway.scopes import Resources
from gateway.services import Services
from gateway.store import api_keys as store
from gateway.store.api_keys import StoredKey
from gateway.store.database import Connection
from gateway.usecases.configure import Asker, Change, Configured, configure


class ApiKeyObject(Struct, kw_only=True):
    """An API key as the API shows it. `prefix` are its first characters; `resources` is null for a full key.

    `ip_ranges` are the addresses that it may be used from; null: any. `last_used_at` is right to the minute.
    """

    id: str
    object: Literal["api_key"] = "api_key"
    livemode: bool
    name: str
    prefix: str
    resources: Resources | None
    ip_ranges: list[str] | None
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    created_at: str
    updated_at: str


class NewApiKeyObject(ApiKeyObject, kw_only=True):
    """An API key with its text, which is shown this once."""

    key: str


class Grantor(Struct, frozen=True):
    """What the key that asks may itself do (None: everything), when it ends, and where it works (None: anywhere)."""

    grants: frozenset[str] | None
    expires_at: datetime | None
    networks: tuple[Network, ...] | None = None


class NewKey(Struct, frozen=True, kw_only=True):
    """What is asked for; `resources` is None for a full key, `ip_ranges` for one that works from anywhere."""

    name: str
    resources: Resources | None = None
    expires_at: datetime | None = None
    ip_ranges: list[str] | None = None


async def create(services: Services, asker: Asker, grantor: Grantor, new: NewKey) -> Configured:
    """Make a key. Raises 403 when the asking key may not grant this."""
    new = _narrowed(grantor, new)
    _check_grant(grantor, new)

    async def work(connection: Connection, now: datetime) -> Change:
        key, text = made(asker.merchant_id, asker.livemode, new, now)
        await store.insert(connection, key)
        changes = {"name": new.name, "resources": new.resources, "ip_ranges": new.ip_ranges}
        return _change("api_key.create", key, changes, text)

    return await configure(services, asker, work)


async def rotate(services: Services, asker: Asker, grantor: Grantor, key_id: UUID, overlap: timedelta) -> Configured:
    """Make a key that may do the same; the old one ends after `overlap`. Raises 404 and 403."""

    async def work(connection: Connection, now: datetime) -> Change:
        old = await _lock(connection, asker, key_id)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise MyPayError("not_found", "The key does not work any more: make a new one.")
        same = NewKey(name=old.name, resources=_resources(old), expires_at=old.expires_at, ip_ranges=old.ip_ranges)
        _check_grant(grantor, same)
        key, text = made(asker.merchant_id, asker.livemode, _narrowed(grantor, same), now)
        await store.insert(connection, key)
        ends = _earliest(old.expires_at, now + overlap)
        await store.update(connection, msgspec.structs.replace(old, expires_at=ends, updated_at=now))
        return _change("api_key.rotate", key, {"replaces": ids.show(ids.API_KEY, old.id)}, text)

    return await configure(services, asker, work)


async def revoke(services: Services, asker: Asker, key_id: UUID) -> Configured:
    """End a key now: every process refuses it within seconds. Raises 404."""

    async def work(connection: Connection, now: datetime) -> Change:
        key = await _lock(connection, asker, key_id)
        if key.revoked_at is not None:
            return _change("api_key.revoke", key, None)
        key = msgspec.structs.replace(key, revoked_at=now, updated_at=now)
        await store.update(connection, key)
        return _change("api_key.revoke", key, {"name": key.name})

    return await configure(services, asker, work)


async def _lock(connection: Connection, asker: Asker, key_id: UUID) -> StoredKey:
    key = await store.get(connection, asker.merchant_id, asker.livemode, key_id, lock=True)
    if key is None:
        raise MyPayError("not_found", "There is no such API key.")
    return key


def _resources(key: StoredKey) -> Resources | None:
    return None if key.resources is None else scopes.decode(key.resources)


def _narrowed(grantor: Grantor, new: NewKey) -> NewKey:
    """What is left open is as narrow as with the key that asks: when it ends, and where it works."""
    inherited = None if grantor.networks is None else [str(network) for network in grantor.networks]
    return msgspec.structs.replace(
        new,
        expires_at=_earliest(new.expires_at, grantor.expires_at),
        ip_ranges=inherited if new.ip_ranges is None else new.ip_ranges,
    )


def _check_grant(grantor: Grantor, new: NewKey) -> None:
    grants = scopes.granted(new.resources)
    if grantor.grants is not None and (grants is None or not grants <= grantor.grants):
        raise MyPayError("forbidden", "A restricted key makes only keys that may do no more than itself.")
    if grantor.networks is not None and not _inside(new.ip_ranges, grantor.networks):
        raise MyPayError("forbidden", "A key that works from some addresses makes only keys that work from no others.")


def _inside(ranges: Sequence[str] | None, networks: Sequence[Network]) -> bool:
    return ranges is not None and all(
        any(addresses.contains(network, ip_network(each)) for network in networks) for each in ranges
    )


def made(merchant_id: UUID, livemode: bool, new: NewKey, now: datetime) -> tuple[StoredKey, str]:
    """A new key's row and its text."""
    text = keys.make(livemode, restricted=new.resources is not None)
    key = StoredKey(
        id=ids.new_at(now),
        merchant_id=merchant_id,
        livemode=livemode,
        name=new.name,
        prefix=keys.prefix(text),
        key_hash=keys.digest(text),
        resources=None if new.resources is None else msgspec.json.encode(new.resources),
        ip_ranges=new.ip_ranges,
        expires_at=new.expires_at,
        created_at=now,
        updated_at=now,
    )
    return key, text


def _earliest(*times: datetime | None) -> datetime | None:
    return min((each for each in times if each is not None), default=None)


def _change(action: str, key: StoredKey, changes: dict[str, Any] | None, text: str | None = None) -> Change:
    return Change(
        action=action,
        object_id=key.id,
        shown_id=ids.show(ids.API_KEY, key.id),
        changes=changes,
        body=shown(key, text),
        shows_secret=text is not None,
    )


def shown(key: StoredKey, text: str | None = None) -> bytes:
    """The key as JSON; with its text where it was just made."""
    members: dict[str, Any] = {
        "id": ids.show(ids.API_KEY, key.id),
        "livemode": key.livemode,
        "name": key.name,
        "prefix": key.prefix,
        "resources": _resources(key),
        "ip_ranges": key.ip_ranges,
        "expires_at": timestamp_or_null(key.expires_at),
        "last_used_at": timestamp_or_null(key.last_used_at),
        "revoked_at": timestamp_or_null(key.revoked_at),
        "created_at": timestamp(key.created_at),
        "updated_at": timestamp(key.updated_at),
    }
    return encode(ApiKeyObject(**members) if text is None else NewApiKeyObject(**members, key=text))
