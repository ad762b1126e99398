"""A merchant's webhook endpoints: made, changed, removed; their secrets sealed, and shown once."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from gateway import ids
from gateway.payments.errors import MyPayError
from gateway.services import Services
from gateway.store import webhook_endpoints as store
from gateway.store.database import Connection
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.usecases.configure import Asker, Change, Configured, configure
from gateway.usecases.disable_webhook_endpoint import BY_REQUEST, disable
from gateway.usecases.webhook_objects import Opened, endpoint_json, is_filtered, opened
from gateway.webhook_signing import SigningKeys, new_keys

OVERLAP: Final = timedelta(hours=24)
MOST: Final = 100  # of a merchant, in one mode: every one of its events is compared with all of them

log = structlog.get_logger(__name__)


class NewEndpoint(Struct, frozen=True, kw_only=True):
    """What is asked for, checked; `asymmetric`: sign with a key pair too."""

    url: str
    events: list[str]
    description: str | None
    asymmetric: bool


async def create(services: Services, asker: Asker, new: NewEndpoint) -> Configured:
    """Make an endpoint; the answer shows its secret. Raises 400 where there are too many."""

    async def work(connection: Connection, now: datetime) -> Change:
        if await store.count(connection, asker.merchant_id, asker.livemode) >= MOST:
            raise MyPayError("invalid_request", f"There are {MOST} webhook endpoints already: delete one.")
        made = _made(services, asker, new, now)
        await store.insert(connection, made.endpoint)
        changes = {"url": new.url, "events": new.events, "address_filter": "on" if made.filtered else "off"}
        return _change("webhook_endpoint.create", made, changes, with_secret=True)

    done = await configure(services, asker, work)
    if not is_filtered(services.settings, livemode=asker.livemode):
        log.warning("webhook_endpoint.not_filtered", endpoint=ids.show(ids.WEBHOOK_ENDPOINT, done.object_id))
    return done


async def update(services: Services, asker: Asker, endpoint_id: UUID, members: dict[str, Any]) -> Configured:
    """Change these members of the row. Raises 404. Disabling cancels what waits; enabling brings nothing back."""

    async def work(connection: Connection, now: datetime) -> Change:
        before = await find(connection, asker, endpoint_id, lock=True)
        changes = {name: value for name, value in members.items() if value != getattr(before, name)}
        if not changes:
            return _change("webhook_endpoint.update", opened(services.settings, services.sealer, before), None)
        after = msgspec.structs.replace(before, updated_at=now, **changes)
        if changes.get("status") == "disabled":
            told = await disable(connection, services.settings, services.sealer, after, BY_REQUEST, now)
        else:
            reason = None if after.status == "enabled" else after.disabled_reason
            after = msgspec.structs.replace(after, disabled_reason=reason)
            await store.update(connection, after)
            told = opened(services.settings, services.sealer, after)
        return _change("webhook_endpoint.update", told, changes)

    return await configure(services, asker, work)


async def delete(services: Services, asker: Asker, endpoint_id: UUID) -> Configured:
    """Remove an endpoint; what waited for it is canceled. Raises 404."""

    async def work(connection: Connection, now: datetime) -> Change:
        endpoint = await find(connection, asker, endpoint_id, lock=True)
        await store.delete(connection, endpoint)
        await store.cancel_waiting(connection, [endpoint.id])
        removed = opened(services.settings, services.sealer, endpoint)
        return _change("webhook_endpoint.delete", removed, {"url": endpoint.url})

    return await configure(services, asker, work)


async def rotate_secret(services: Services, asker: Asker, endpoint_id: UUID) -> Configured:
    """Make new keys, which the answer shows; those of now sign too for `OVERLAP`. Raises 404."""

    async def work(connection: Connection, now: datetime) -> Change:
        before = await find(connection, asker, endpoint_id, lock=True)
        asymmetric = opened(services.settings, services.sealer, before).keys.seed is not None
        after = msgspec.structs.replace(
            before,
            secret_version=before.secret_version + 1,
            previous_sealed=before.sealed,
            previous_expires_at=now + OVERLAP,
            updated_at=now,
        )
        made = _sealed(services, after, new_keys(asymmetric=asymmetric))
        await store.update(connection, made.endpoint)
        until = {"previous_secret_expires_at": (now + OVERLAP).isoformat()}
        return _change("webhook_endpoint.rotate_secret", made, until, with_secret=True)

    return await configure(services, asker, work)


async def find(connection: Connection, asker: Asker, endpoint_id: UUID, *, lock: bool = False) -> StoredEndpoint:
    """The asker's endpoint. Raises 404."""
    endpoint = await store.get(connection, asker.merchant_id, asker.livemode, endpoint_id, lock=lock)
    if endpoint is None:
        raise MyPayError("not_found", "There is no such webhook endpoint.")
    return endpoint


def shown(services: Services, endpoint: StoredEndpoint) -> bytes:
    """The endpoint as JSON, without its secret."""
    return endpoint_json(opened(services.settings, services.sealer, endpoint))


def _made(services: Services, asker: Asker, new: NewEndpoint, now: datetime) -> Opened:
    endpoint = StoredEndpoint(
        id=ids.new_at(now),
        merchant_id=asker.merchant_id,
        livemode=asker.livemode,
        url=new.url,
        events=new.events,
        description=new.description,
        status="enabled",
        disabled_reason=None,
        secret_version=1,
        sealed=b"",
        previous_sealed=None,
        previous_expires_at=None,
        sequence=0,
        backlog_cursor=None,
        created_at=now,
        updated_at=now,
    )
    return _sealed(services, endpoint, new_keys(asymmetric=new.asymmetric))


def _sealed(services: Services, endpoint: StoredEndpoint, keys: SigningKeys) -> Opened:
    sealed = store.seal(
        services.sealer,
        keys,
        endpoint_id=endpoint.id,
        version=endpoint.secret_version,
        merchant_id=endpoint.merchant_id,
    )
    filtered = is_filtered(services.settings, livemode=endpoint.livemode)
    return Opened(msgspec.structs.replace(endpoint, sealed=sealed), keys, filtered)


def _change(action: str, what: Opened, changes: dict[str, Any] | None, *, with_secret: bool = False) -> Change:
    return Change(
        action=action,
        object_id=what.endpoint.id,
        shown_id=ids.show(ids.WEBHOOK_ENDPOINT, what.endpoint.id),
        changes=changes,
        body=endpoint_json(what, with_secret=with_secret),
        shows_secret=with_secret,
    )
