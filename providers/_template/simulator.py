"""Template Pay, as its document describes it, for tests and for work without a network.

The last three digits of the payer's phone choose what happens a second after the request; every other number pays::

    000  pays      002  has no money      005  pays; no answer is ever sent      006  pays; the answer is HTTP 500

As nothing is promised about a repeated reference, a repeated request charges again.
"""

import time
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.simulation import HANG, Callback, Reply, Request, Route, Simulator, json

PROMPT_S: Final = 1.0  # until the payer answers
REPLIES: Final = {"005": HANG, "006": json({"error": "internal"}, 500)}
REASONS: Final = {"002": "NO_FUNDS"}


class NewPayment(Struct, frozen=True, rename="camel"):
    """The body of a charge."""

    reference: str
    amount: str
    currency: str
    phone: str
    callback_url: str


class Payment(Struct, kw_only=True):
    """A payment, as the simulator remembers it, under its own id: references may repeat."""

    id: str
    new: NewPayment
    at: float
    status: str = "OPEN"
    reason: str | None = None


class TemplatePaySimulator(Simulator[Payment]):
    """The protocol above."""

    name = "_template"
    state_type = Payment

    def routes(self) -> list[Route]:
        return [Route("POST", "/payments", self.charge), Route("GET", "/payments/status", self.query)]

    def resume(self, key: str, state: Payment) -> None:
        if state.status == "OPEN":
            self.later(PROMPT_S, partial(self._end, state), since=state.at)

    def charge(self, request: Request) -> Reply:
        """Prompt the payer."""
        new = request.read(NewPayment)
        self.received(request, reference=new.reference, payment=None, operation=None)
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return json({"error": "unauthorized"}, 401)
        payment = Payment(id=f"TP{len(self.state) + 1:08d}", new=new, at=time.time())
        self.keep(payment.id, payment)
        reply = REPLIES.get(new.phone[-3:])
        if reply is None:
            self.later(PROMPT_S, partial(self._end, payment))
            return json(_view(payment))
        self._end(payment)
        return reply

    def query(self, request: Request) -> Reply:
        """How the latest payment of a reference stands."""
        reference = request.query.get("reference", "")
        self.received(request, reference=reference, payment=None, operation=None)
        found = [payment for payment in self.state.values() if payment.new.reference == reference]
        return json(_view(found[-1])) if found else json({"error": "not_found"}, 404)

    def _end(self, payment: Payment) -> None:
        """What the payer does: money moves when they pay."""
        new = payment.new
        payment.reason = REASONS.get(new.phone[-3:])
        payment.status = "REFUSED" if payment.reason else "PAID"
        if payment.status == "PAID":
            minor = int(new.amount.replace(".", ""))
            self.note("charges", id=payment.id, reference=new.reference, amount=minor, currency=new.currency)
        self.keep(payment.id, payment)
        callback = Callback(msgspec.json.encode(_view(payment)), {"content-type": "application/json"})
        self.call_back(new.callback_url, [callback])


def _view(payment: Payment) -> dict[str, Any]:
    new = payment.new
    view = {"id": payment.id, "reference": new.reference, "status": payment.status, "reason": payment.reason}
    return {**view, "amount": new.amount, "currency": new.currency}


SIMULATOR = TemplatePaySimulator
