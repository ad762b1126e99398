"""/v1/payments: create, read, list, timeline; confirm, cancel, verify, resolve."""

from contextlib import nullcontext
from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from gateway import ids
from gateway.http import cursors, prefer, scopes
from gateway.http.auth import Principal
from gateway.http.context import current
from gateway.http.cursors import PageQuery
from gateway.http.handling import (
    Authenticated,
    after_id,
    answer,
    client_address,
    missing,
    page_by_id,
    read_id,
    services_of,
)
from gateway.http.idempotency import optional_key, required_key
from gateway.http.json_body import Body, fingerprint_of, read_json
from gateway.payments import rules, views
from gateway.payments.facts import Resolution
from gateway.payments.model import Payment, ReviewReason, Status
from gateway.payments.requests import ConfirmPayment, CreatePayment, Nothing, ResolvePayment
from gateway.services import Services
from gateway.store import payments as store
from gateway.store.audit import AuditRow
from gateway.usecases import act_on_payment
from gateway.usecases.act_on_payment import Decide
from gateway.usecases.create_payment import create_payment
from gateway.usecases.timeline import timeline
from gateway.usecases.waiters import wait_for


class PaymentQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/payments; `status` may repeat."""

    status: tuple[Status, ...] = ()
    provider: str | None = None
    account: str | None = None
    reference: str | None = None
    phone: str | None = None
    currency: str | None = None
    amount: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    review: ReviewReason | None = None
    created_from: Annotated[datetime, Meta(tz=True)] | None = None
    created_to: Annotated[datetime, Meta(tz=True)] | None = None


class TimelineQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/payments/{id}/timeline takes no parameters: it is one page."""


class PaymentController(Controller):
    """Payments of the key's merchant, in the key's mode."""

    path = "/v1/payments"
    opt = scopes.opt("payments")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Accept a payment: 201 means that it is on disk. `Prefer: wait=N` holds the answer until it has moved."""
        key = required_key(request.scope)
        body = await read_json(request, CreatePayment)
        services, user = services_of(request), request.user
        wait_s = prefer.wait_s(request.scope)
        payment_id = ids.new(ids.logical_partition(user.merchant_id, user.livemode, key))
        with services.waiters.expect(payment_id) if wait_s else nullcontext() as moved:
            accepted = await create_payment(
                services,
                merchant_id=user.merchant_id,
                livemode=user.livemode,
                request=body.value,
                key=key,
                fingerprint=fingerprint_of(request, body),
                payment_id=payment_id,
                waiter=services.process if wait_s else None,
            )
            if moved is not None and accepted.fresh:
                await wait_for(moved, wait_s)
        if wait_s and not accepted.fresh:
            await _wait_for_other(services, accepted.payment, wait_s)
        content = await _now(services, accepted.payment) if wait_s else accepted.content
        headers = {"Location": f"/v1/payments/{ids.show(ids.PAYMENT, accepted.payment.id)}", **prefer.applied(wait_s)}
        return answer(content, 201, headers, replayed=not accepted.fresh)

    @get("/{payment_id:str}")
    async def read(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """One payment."""
        async with services_of(request).reading() as connection:
            payment = await _find(connection, request.user, payment_id)
        return answer(views.payment_json(payment), 200)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of payments, newest first."""
        query = cursors.read_query(request.scope, PaymentQuery)
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection,
                request.user.merchant_id,
                request.user.livemode,
                _filters(query),
                after_id(query),
                query.limit + 1,
            )
        return page_by_id([(each.id, views.payment_json(each)) for each in found], query.limit)

    @get("/{payment_id:str}/timeline")
    async def timeline(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Everything that happened to the payment, oldest first, on one page."""
        cursors.read_query(request.scope, TimelineQuery)
        user, wanted = request.user, read_id(ids.PAYMENT, payment_id, "payment")
        async with services_of(request).reading() as connection:
            entries = await timeline(connection, user.merchant_id, user.livemode, wanted)
        if entries is None:
            raise missing("payment")
        return answer(cursors.page(entries, has_more=False, following=None))

    @post("/{payment_id:str}/confirm", status_code=200)
    async def confirm(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Pass the payer's code on to the provider."""
        required_key(request.scope)
        body = await read_json(request, ConfirmPayment)
        decide = act_on_payment.confirm(rules.otp(body.value.otp), services_of(request).sealer)
        return await _act(request, payment_id, body, decide)

    @post("/{payment_id:str}/cancel", status_code=200)
    async def cancel(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Cancel what cannot have been sent yet."""
        required_key(request.scope)
        return await _act(request, payment_id, await read_json(request, Nothing), act_on_payment.cancel())

    @post("/{payment_id:str}/verify", status_code=200)
    async def verify(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Ask the provider now."""
        return await _act(request, payment_id, await read_json(request, Nothing), act_on_payment.verify())

    @post("/{payment_id:str}/resolve", status_code=200, opt=scopes.opt("reviews"))
    async def resolve(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """End a review with a person's decision, which is audited."""
        required_key(request.scope)
        body = await read_json(request, ResolvePayment)
        resolution = Resolution(action=body.value.action, reason=body.value.reason)
        record = AuditRow(
            merchant_id=request.user.merchant_id,
            actor=ids.show(ids.API_KEY, request.user.key_id),
            action="payment.resolve",
            object_id=payment_id,
            ip=client_address(request),
            request_id=current().request_id,
            changes={"action": resolution.action, "reason": resolution.reason},
        )
        return await _act(request, payment_id, body, act_on_payment.resolve(resolution), record)


async def _act(
    request: Authenticated, payment_id: str, body: Body[Any], decide: Decide, record: AuditRow | None = None
) -> Response[bytes]:
    """Do what was asked for once, and answer the payment as it is then, or as it is after `Prefer: wait`."""
    services, user = services_of(request), request.user
    wait_s = prefer.wait_s(request.scope)
    asked = act_on_payment.Request(
        merchant_id=user.merchant_id,
        livemode=user.livemode,
        payment_id=read_id(ids.PAYMENT, payment_id, "payment"),
        key=optional_key(request.scope),
        fingerprint=fingerprint_of(request, body),
        waiter=services.process if wait_s else None,
    )
    acted = await act_on_payment.act(services, asked, decide, record=record)
    content = acted.body
    if wait_s:
        if acted.operation_id is not None:
            with services.waiters.expect(acted.operation_id) as over:
                await wait_for(over, wait_s)
        content = await act_on_payment.acted_now(services, acted)
    return answer(content, 200, prefer.applied(wait_s), replayed=acted.replayed)


async def _find(connection: Any, user: Principal, text: str) -> Payment:
    payment = await store.get(connection, user.merchant_id, user.livemode, read_id(ids.PAYMENT, text, "payment"))
    if payment is None:
        raise missing("payment")
    return payment


async def _now(services: Services, payment: Payment) -> bytes:
    async with services.reading() as connection:
        current = await store.get(connection, payment.merchant_id, payment.livemode, payment.id)
    return views.payment_json(current or payment)


async def _wait_for_other(services: Services, payment: Payment, wait_s: float) -> None:
    with services.waiters.expect(payment.id) as moved:
        await wait_for(moved, wait_s)


def _filters(query: PaymentQuery) -> store.Filters:
    account = None if query.account is None else ids.read(ids.ACCOUNT, query.account) or ids.NIL
    return store.Filters(
        status=tuple(query.status) or None,
        provider=query.provider,
        account=account,
        reference=query.reference,
        phone=None if query.phone is None else rules.phone_filter(query.phone),
        currency=query.currency,
        amount=query.amount,
        review=query.review,
        created_from=query.created_from,
        created_to=query.created_to,
    )
