"""What payments, payouts and refunds have in common at the HTTP face: accept one, act on one, and wait for it."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from litestar import Response
from msgspec import Meta, Struct

from gateway import ids
from gateway.http import cursors, prefer
from gateway.http.context import current, is_about
from gateway.http.cursors import PageQuery
from gateway.http.handling import (
    Authenticated,
    after_id,
    answer,
    missing,
    page_by_id,
    read_id,
    services_of,
)
from gateway.http.idempotency import optional_key, required_key
from gateway.http.json_body import Body, fingerprint_of, read_json
from gateway.payments import rules, views
from gateway.payments.drafts import Draft
from gateway.payments.facts import Resolution
from gateway.payments.model import Kind, Payment, ReviewReason
from gateway.payments.requests import ResolvePayment
from gateway.services import Services
from gateway.store import payments as store
from gateway.store.audit import AuditRow
from gateway.usecases import act_on_payment
from gateway.usecases.act_on_payment import Decide
from gateway.usecases.create_payment import create
from gateway.usecases.waiters import wait_for

T = TypeVar("T", bound=Struct)
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
PREFIXES: Final = {Kind.PAYMENT: ids.PAYMENT, Kind.PAYOUT: ids.PAYOUT}


class MoneyQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of a list of payments or payouts, whose statuses differ; `status` may repeat."""

    status: tuple[Any, ...] = ()
    provider: str | None = None
    account: str | None = None
    reference: str | None = None
    phone: str | None = None
    currency: str | None = None
    amount: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    review: ReviewReason | None = None
    created_from: Annotated[datetime, Meta(tz=True)] | None = None
    created_to: Annotated[datetime, Meta(tz=True)] | None = None


async def accept(
    request: Authenticated, kind: type[T], check: Callable[[T, bool], Draft], path: str
) -> Response[bytes]:
    """Accept a payment or payout: 201 means that it is on disk. `Prefer: wait=N` holds the answer until it moved."""
    key = required_key(request.scope)
    body = await read_json(request, kind)
    services, user = services_of(request), request.user
    wait_s = prefer.wait_s(request.scope)
    draft = check(body.value, user.livemode)
    payment_id = ids.new(ids.logical_partition(user.merchant_id, user.livemode, key))
    is_about(ids.show(PREFIXES[draft.kind], payment_id))
    with services.waiters.expect(payment_id) if wait_s else nullcontext() as moved:
        accepted = await create(
            services,
            draft,
            merchant_id=user.merchant_id,
            key=key,
            fingerprint=fingerprint_of(request, body),
            payment_id=payment_id,
            waiter=services.process if wait_s else None,
        )
        if moved is not None and accepted.fresh:
            await wait_for(moved, wait_s)
    if not accepted.fresh:
        is_about(views.public_id(accepted.payment))
    if wait_s and not accepted.fresh:
        await wait_until_moved(services, accepted.payment.id, wait_s)
    content = await _now(services, accepted.payment) if wait_s else accepted.content
    headers = {"Location": f"{path}/{views.public_id(accepted.payment)}", **prefer.applied(wait_s)}
    return answer(content, 201, headers, replayed=not accepted.fresh)


async def act(
    request: Authenticated,
    object_id: str,
    body: Body[Any],
    decide: Decide,
    record: AuditRow | None = None,
    *,
    kind: Kind = Kind.PAYMENT,
) -> Response[bytes]:
    """Do what was asked for once, and answer the object as it is then, or as it is after `Prefer: wait`."""
    services = services_of(request)
    asked = asked_of(request, object_id, body, kind)
    wait_s = prefer.wait_s(request.scope)
    acted = await act_on_payment.act(services, asked, decide, record=record)
    content = acted.body
    if wait_s:
        if acted.operation_id is not None:
            await wait_until_moved(services, acted.operation_id, wait_s)
        content = await act_on_payment.acted_now(services, acted)
    return answer(content, 200, prefer.applied(wait_s), replayed=acted.replayed)


async def resolve(request: Authenticated, object_id: str, kind: Kind) -> Response[bytes]:
    """End a review with a person's decision, which is audited."""
    required_key(request.scope)
    body = await read_json(request, ResolvePayment)
    resolution = Resolution(action=body.value.action, reason=body.value.reason)
    record = AuditRow(
        merchant_id=request.user.merchant_id,
        actor=request.user.actor,
        action=f"{kind}.resolve",
        object_id=object_id,
        ip=current().ip,
        request_id=current().request_id,
        changes={"action": resolution.action, "reason": resolution.reason},
    )
    return await act(request, object_id, body, act_on_payment.resolve(resolution), record, kind=kind)


def asked_of(
    request: Authenticated, object_id: str, body: Body[Any], kind: Kind = Kind.PAYMENT
) -> act_on_payment.Request:
    """Who asks, for what. Raises 404 for an id of another type."""
    payment_id = read_id(PREFIXES[kind], object_id, kind)
    is_about(object_id)
    return act_on_payment.Request(
        merchant_id=request.user.merchant_id,
        livemode=request.user.livemode,
        payment_id=payment_id,
        kind=kind,
        key=optional_key(request.scope),
        fingerprint=fingerprint_of(request, body),
        waiter=services_of(request).process if prefer.wait_s(request.scope) else None,
    )


async def read(request: Authenticated, object_id: str, kind: Kind) -> Response[bytes]:
    """One payment or payout. Raises 404."""
    user, wanted = request.user, read_id(PREFIXES[kind], object_id, kind)
    async with services_of(request).reading() as connection:
        found = await store.get(connection, user.merchant_id, user.livemode, wanted, kind)
    if found is None:
        raise missing(kind)
    return answer(views.payment_json(found))


async def page(request: Authenticated, filters: type[MoneyQuery], kind: Kind) -> Response[bytes]:
    """A page of payments or payouts, newest first."""
    query, user = cursors.read_query(request.scope, filters), request.user
    async with services_of(request).reading() as connection:
        found = await store.page(
            connection, user.merchant_id, user.livemode, _filters(query, kind), after_id(query), query.limit + 1
        )
    return page_by_id([(each.id, views.payment_json(each)) for each in found], query.limit)


def _filters(query: MoneyQuery, kind: Kind) -> store.Filters:
    account = None if query.account is None else ids.read(ids.ACCOUNT, query.account) or ids.NIL
    return store.Filters(
        kind=kind,
        status=tuple(query.status) or None,
        provider=query.provider,
        account=account,
        reference=query.reference,
        phone=None if query.phone is None else rules.phone_filter(query.phone),
        currency=query.currency,
        amount=query.amount,
        review=query.review,
        created_from=_within(query.created_from),
        created_to=_within(query.created_to),
    )


def _within(at: datetime | None) -> datetime | None:
    """A time between those that ids and the database can tell; no payment is of any other."""
    return None if at is None else min(max(at, _FIRST), _LAST)


async def wait_until_moved(services: Services, object_id: UUID, wait_s: float) -> None:
    """Wait until the payment, payout or operation is under way no more, at most so long."""
    with services.waiters.expect(object_id) as moved:
        await wait_for(moved, wait_s)


async def _now(services: Services, payment: Payment) -> bytes:
    async with services.reading() as connection:
        current = await store.get(connection, payment.merchant_id, payment.livemode, payment.id, payment.kind)
    return views.payment_json(current or payment)
