"""Changing configuration: one transaction with its audit row, and with the idempotency key where there is one."""

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct

from gateway.payments.errors import MyPayError
from gateway.services import Services
from gateway.store import audit, idempotency
from gateway.store.audit import AuditRow
from gateway.store.database import Connection
from gateway.store.idempotency import Scope


class Asker(Struct, frozen=True, kw_only=True):
    """Who asks, in which mode, and from where. `key` is the Idempotency-Key of a POST that has one."""

    merchant_id: UUID
    livemode: bool
    actor: str
    ip: str | None
    request_id: str
    key: str | None = None
    fingerprint: bytes = b""


class Change(Struct, frozen=True, kw_only=True):
    """What was done to which object, and the answer; `changes` is None when nothing changed.

    An answer that `shows_secret` is never stored: who repeats the request is told that it was shown.
    """

    action: str
    object_id: UUID
    shown_id: str
    changes: dict[str, Any] | None
    body: bytes
    shows_secret: bool = False


class Configured(Struct, frozen=True, kw_only=True):
    """The answer's bytes, and whether they repeat an earlier one's."""

    body: bytes
    replayed: bool
    object_id: UUID


Work: TypeAlias = Callable[[Connection, datetime], Awaitable[Change]]


async def configure(services: Services, asker: Asker, work: Work) -> Configured:
    """Do it once. Raises 409 `secret_already_shown`, 422 `idempotency_key_reused`, and what `work` raises."""
    async with services.reading() as connection, connection.transaction():
        if asker.key is not None and (earlier := await _earlier(services, connection, asker, asker.key)) is not None:
            return earlier
        now = services.clock.now()
        change = await work(connection, now)
        if change.changes is not None:
            await audit.insert(connection, _record(asker, change), now, livemode=asker.livemode)
        if asker.key is not None:
            body = b"" if change.shows_secret else change.body
            fingerprint, *_ = _fingerprints(services, asker)
            await idempotency.insert(connection, _scope(asker, asker.key), fingerprint, change.object_id, body, now)
    return Configured(body=change.body, replayed=False, object_id=change.object_id)


async def replay(services: Services, asker: Asker) -> Configured | None:
    """The answer that the asker's key was given before, if it was: for work that talks to others before it records.

    Raises what `configure` raises.
    """
    if asker.key is None:
        return None
    async with services.reading() as connection, connection.transaction():
        return await _earlier(services, connection, asker, asker.key)


async def _earlier(services: Services, connection: Connection, asker: Asker, key: str) -> Configured | None:
    scope = _scope(asker, key)
    await idempotency.lock(connection, scope)
    stored = await idempotency.find(connection, scope)
    if stored is None:
        return None
    if not any(hmac.compare_digest(stored.fingerprint, each) for each in _fingerprints(services, asker)):
        raise MyPayError("idempotency_key_reused")
    if not stored.response:
        raise MyPayError("secret_already_shown")
    return Configured(body=stored.response, replayed=True, object_id=stored.object_id)


def _scope(asker: Asker, key: str) -> Scope:
    return Scope(merchant_id=asker.merchant_id, livemode=asker.livemode, root_id=asker.merchant_id, key=key)


def _fingerprints(services: Services, asker: Asker) -> list[bytes]:
    """Keyed, since a plain digest of a body would let a weak secret in it be guessed; under the current key first."""
    return [hmac.digest(key, asker.fingerprint, "sha256") for key in services.settings.keys("fingerprint")]


def _record(asker: Asker, change: Change) -> AuditRow:
    return AuditRow(
        merchant_id=asker.merchant_id,
        actor=asker.actor,
        action=change.action,
        object_id=change.shown_id,
        ip=asker.ip,
        request_id=asker.request_id,
        changes=change.changes or {},
    )
