"""/v1/payouts: create, read, list; cancel, resolve."""

from typing import Literal

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from gateway.http import money, scopes
from gateway.http.handling import Authenticated
from gateway.http.idempotency import required_key
from gateway.http.json_body import read_json
from gateway.http.money import MoneyQuery
from gateway.payments import drafts
from gateway.payments.model import Kind
from gateway.payments.requests import CreatePayout, Nothing
from gateway.usecases import act_on_payment


class PayoutQuery(MoneyQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/payouts; `status` may repeat."""

    status: tuple[Literal["pending", "processing", "succeeded", "failed", "canceled"], ...] = ()


class PayoutController(Controller):
    """Payouts of the key's merchant, in the key's mode."""

    path = "/v1/payouts"
    opt = scopes.opt("payouts")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Accept a payout."""
        return await money.accept(request, CreatePayout, drafts.payout, self.path)

    @get("/{payout_id:str}")
    async def read(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """One payout."""
        return await money.read(request, payout_id, Kind.PAYOUT)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of payouts, newest first."""
        return await money.page(request, PayoutQuery, Kind.PAYOUT)

    @post("/{payout_id:str}/cancel", status_code=200)
    async def cancel(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """Cancel what cannot have been sent yet."""
        required_key(request.scope)
        body = await read_json(request, Nothing)
        return await money.act(request, payout_id, body, act_on_payment.cancel(), kind=Kind.PAYOUT)

    @post("/{payout_id:str}/resolve", status_code=200, opt=scopes.opt("reviews"))
    async def resolve(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """End a review with a person's decision, which is audited."""
        return await money.resolve(request, payout_id, Kind.PAYOUT)
