"""/v1/routing: which accounts are preferred for which payments, and what would become of one."""

from litestar import Controller, Response, get, post, put

from gateway.http import scopes
from gateway.http.handling import Authenticated, answer, asker, services_of
from gateway.http.json_body import read_json
from gateway.payments.requests import CreatePayment
from gateway.usecases import route_payments
from gateway.usecases.route_payments import PutRouting


class RoutingController(Controller):
    """The rules of the key's merchant, in the key's mode."""

    path = "/v1/routing"
    opt = scopes.opt("routing")

    @get()
    async def read(self, request: Authenticated) -> Response[bytes]:
        """The rules that count now."""
        return answer(await route_payments.read(services_of(request), request.user.merchant_id, request.user.livemode))

    @put()
    async def replace(self, request: Authenticated) -> Response[bytes]:
        """All rules at once, if nobody has changed them since the version that is named."""
        body = await read_json(request, PutRouting)
        done = await route_payments.replace(services_of(request), asker(request, body), body.value)
        return answer(done.body)

    @post("/preview", status_code=200)
    async def preview(self, request: Authenticated) -> Response[bytes]:
        """Where a payment would go. Nothing is written, and nothing charged."""
        body = await read_json(request, CreatePayment)
        user = request.user
        return answer(await route_payments.preview(services_of(request), user.merchant_id, user.livemode, body.value))
