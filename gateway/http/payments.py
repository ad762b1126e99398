"""/v1/payments: create, read, list, timeline; confirm, capture, cancel, verify, resolve."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from gateway import ids
from gateway.http import cursors, money, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, missing, page_by_id, read_id, services_of
from gateway.http.idempotency import required_key
from gateway.http.json_body import read_json
from gateway.payments import drafts, rules, views
from gateway.payments.model import Kind, ReviewReason, Status
from gateway.payments.requests import CapturePayment, ConfirmPayment, CreatePayment, Nothing
from gateway.store import payments as store
from gateway.usecases import act_on_payment
from gateway.usecases.timeline import timeline


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
        """Accept a payment."""
        return await money.accept(request, CreatePayment, drafts.payment, self.path)

    @get("/{payment_id:str}")
    async def read(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """One payment."""
        async with services_of(request).reading() as connection:
            payment = await money.find(connection, request.user, payment_id)
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
        return await money.act(request, payment_id, body, decide)

    @post("/{payment_id:str}/capture", status_code=200)
    async def capture(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Take what is authorized, or a part of it."""
        required_key(request.scope)
        body = await read_json(request, CapturePayment)
        return await money.act(request, payment_id, body, act_on_payment.capture(body.value.amount))

    @post("/{payment_id:str}/cancel", status_code=200)
    async def cancel(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Cancel what cannot have been sent yet, or release what is authorized."""
        required_key(request.scope)
        return await money.act(request, payment_id, await read_json(request, Nothing), act_on_payment.cancel())

    @post("/{payment_id:str}/verify", status_code=200)
    async def verify(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """Ask the provider now."""
        return await money.act(request, payment_id, await read_json(request, Nothing), act_on_payment.verify())

    @post("/{payment_id:str}/resolve", status_code=200, opt=scopes.opt("reviews"))
    async def resolve(self, request: Authenticated, payment_id: FromPath[str]) -> Response[bytes]:
        """End a review with a person's decision, which is audited."""
        return await money.resolve(request, payment_id, Kind.PAYMENT)


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
