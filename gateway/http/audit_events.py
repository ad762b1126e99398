"""/v1/audit_events: who changed what."""

from typing import Any, Literal

import msgspec
from litestar import Controller, Response, get
from msgspec import Struct

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, page_by_id, services_of
from gateway.payments.views import encode, timestamp
from gateway.store import audit as store
from gateway.store.audit import StoredAudit


class AuditEventObject(Struct, kw_only=True):
    """One change by a key or a person, or a sign-in.

    `actor` is the id of an API key or a user, "operator:…" for the installation's command line, or "anonymous" for who
    has not signed in. `ip` is the client's, as trusted proxies saw it. `changes` are the new values; of settings only
    the names.
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
    created_at: str
    updated_at: str


class AuditQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/audit_events."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None


class AuditController(Controller):
    """The audit trail of the key's merchant, in the key's mode; for an owner who names none, the installation's."""

    path = "/v1/audit_events"
    opt = scopes.opt("audit_events")

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of changes, newest first."""
        query, user = cursors.read_query(request.scope, AuditQuery), request.user
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection,
                user.merchant_id,
                user.livemode,
                actor=query.actor,
                action=query.action,
                object_id=query.object_id,
                after=after_id(query),
                limit=query.limit + 1,
            )
        return page_by_id([(each.id, shown(each)) for each in found], query.limit)


def shown(row: StoredAudit) -> bytes:
    """The row as JSON."""
    at = timestamp(row.created_at)
    return encode(
        AuditEventObject(
            id=ids.show(ids.AUDIT_EVENT, row.id),
            livemode=row.livemode,
            actor=row.actor,
            action=row.action,
            object_id=row.object_id,
            ip=row.ip,
            request_id=row.request_id,
            outcome=row.outcome,
            changes=msgspec.json.decode(row.changes),
            created_at=at,
            updated_at=at,
        )
    )
