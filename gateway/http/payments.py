"""/v1/payments: create, read, list, timeline; confirm, capture, cancel, verify, resolve."""

from litestar import Controller, Response, get, post
from litestar.params import FromPath
from msgspec import Struct

from gateway import ids
from gateway.http import cursors, money, scopes
from gateway.http.handling import Authenticated, answer, missing, read_id, services_of
from gateway.http.idempotency import required_key
from gateway.http.json_body import read_json
from gateway.http.money import MoneyQuery
from gateway.payments import drafts, rules
from gateway.payments.model import Kind, Status
from gateway.payments.requests import CapturePayment, ConfirmPayment, CreatePayment, Nothing
from gateway.usecases import act_on_payment
from gateway.usecases.timeline import timeline


class PaymentQuery(MoneyQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/payments; `status` may repeat."""

    status: tuple[Status, ...] = ()


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
        return await money.read(request, payment_id, Kind.PAYMENT)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of payments, newest first."""
        return await money.page(request, PaymentQuery, Kind.PAYMENT)

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
