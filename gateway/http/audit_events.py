"""/v1/audit_events: who changed what, and whether the trail is still what it was."""

import re
from typing import Annotated, Final, Literal

from litestar import Controller, Response, get
from msgspec import Meta, Struct

from gateway import ids
from gateway.audit_chain import Anchor, Reason
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, page_by_id, services_of
from gateway.payments.errors import invalid
from gateway.payments.views import encode, timestamp
from gateway.store import audit as store
from gateway.usecases import audit_trail
from gateway.usecases.audit_trail import Verdict

_HASH: Final = re.compile("[0-9a-f]{64}")


class AuditQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/audit_events."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None


class VerifyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What was noted earlier, if anything: a position, and the hash that stood there."""

    position: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    hash: str | None = None


class FirstBad(Struct, frozen=True):
    """Where the chain is broken first.

    missing: no row has this place · inserted: two have it · edited: its content does not have its hash · unlinked: it
    does not follow the row before · anchor_differs: it is not what was signed · unanchored: nothing signed covers it ·
    not_as_kept: it is not what was noted.
    """

    position: int
    audit_event: str | None
    reason: Reason


class AnchoredUntil(Struct, frozen=True):
    """A signed head of the chain: note `position` and `hash`, and no earlier row can be changed unseen."""

    position: int
    hash: str
    at: str


class AuditVerification(Struct, frozen=True, kw_only=True):
    """What a check of the trail found; the first `checked` rows that are kept hold.

    `dropped_until`: rows up to here were dropped for their age; the first one kept follows this hash.
    """

    object: Literal["audit_verification"] = "audit_verification"
    livemode: bool
    valid: bool
    first_bad: FirstBad | None
    checked: int
    anchored_until: AnchoredUntil | None
    dropped_until: AnchoredUntil | None


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
        return page_by_id([(each.id, encode(audit_trail.shown(each))) for each in found], query.limit)

    @get("/verify")
    async def verify(self, request: Authenticated) -> Response[bytes]:
        """Recompute the whole chain."""
        query, user, services = cursors.read_query(request.scope, VerifyQuery), request.user, services_of(request)
        chain = audit_trail.chain_of(services.settings, user.merchant_id, user.livemode)
        verdict = await audit_trail.verify(services.reading, chain, _kept(query))
        return answer(encode(_shown(verdict, livemode=user.livemode)))


def _kept(query: VerifyQuery) -> tuple[int, bytes] | None:
    if query.position is None and query.hash is None:
        return None
    if query.position is None:
        raise invalid("/position", "required", "A hash is noted together with its position.")
    if query.hash is None or _HASH.fullmatch(query.hash) is None:
        raise invalid("/hash", "invalid", "Write the 64 hexadecimal digits of the position's hash.")
    return query.position, bytes.fromhex(query.hash)


def _shown(verdict: Verdict, *, livemode: bool) -> AuditVerification:
    bad = verdict.bad
    row = None if bad is None or bad.id is None else ids.show(ids.AUDIT_EVENT, bad.id)
    return AuditVerification(
        livemode=livemode,
        valid=bad is None,
        first_bad=None if bad is None else FirstBad(bad.position, row, bad.reason),
        checked=verdict.checked,
        anchored_until=_place(verdict.anchor),
        dropped_until=_place(verdict.floor),
    )


def _place(anchor: Anchor | None) -> AnchoredUntil | None:
    return None if anchor is None else AnchoredUntil(anchor.position, anchor.hash.hex(), timestamp(anchor.created_at))
