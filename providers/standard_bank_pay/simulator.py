"""Standard Bank Pay, as its users' contract describes it, for tests and for work without a network.

The last three digits of the payer's number choose what happens; every other number approves::

    000  settles at once                   008  settles; the connection is reset
    001  approves after a second           012  approves; five callbacks, repeated and out of order
    002  declines after a second           013  approves; no callback
    003  cancels after a second            014  declines, and it settles two seconds later
    004  never decides                     016  a callback that somebody else signed; approves after 5 s
    005  settles; nothing is answered      021  the bank's own page decides: approval_url
    006  settles; HTTP 500                 022  it is in a state that nobody has heard of
    007  HTTP 503, and nothing happened

More than 1 000.00 is refused with 422, as in the mock: "Amount exceeds daily limit" (`DAILY_LIMIT`). As nothing is
promised about a repeated X-SBP-Request-Id, a repeated request is charged again. Callbacks are signed when the API key's
secret was set at `/_simulator/secrets`: as Standard Webhooks where it begins with whsec_, else with HMAC-SHA256 in hex
in X-SBP-Signature: of the body, or of "t.body" (`t=…,v1=…`) where the secret begins with "t_". The mock's own
`POST /__simulate__/webhook/{ref}` settles a payment, as does the page.
"""

import base64
import hashlib
import hmac
import time
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from providers.simulation import HANG, RESET, Callback, Reply, Request, Route, Simulator, html, json

DAILY_LIMIT: Final = 100_000
DECIDES_S: Final = 1.0
EXPIRES_S: Final = 300
PAGE: Final = """<!doctype html><html lang="en"><title>Bank</title><h1>Bank</h1><p>Payment {ref}: {state}</p>
<form method="post" action="/approve/{ref}?pay=yes"><button>Pay</button></form>
<form method="post" action="/approve/{ref}?pay=no"><button>Decline</button></form></html>"""


class Behaviour(NamedTuple):
    """How a payer decides, how the bank answers and calls back."""

    ends: str | None = "SETTLED"  # None: never, or by the page
    begins: str = "AWAITING_CUSTOMER"
    reply: Reply | None = None  # instead of 201; what happens has then happened at once
    nothing: bool = False  # nothing happens at all
    after_s: float = DECIDES_S
    callbacks: Literal["none", "one", "many", "forged"] = "one"
    then: bool = False  # settles two seconds later


ERROR: Final = json({"error": "Internal error"}, 500)
BEHAVIOURS: Final = {
    "000": Behaviour(None, "SETTLED"),
    "002": Behaviour("DECLINED"),
    "003": Behaviour("CANCELLED"),
    "004": Behaviour(None),
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=ERROR),
    "007": Behaviour(reply=json({"error": "Unavailable"}, 503), nothing=True),
    "008": Behaviour(reply=RESET),
    "012": Behaviour(callbacks="many"),
    "013": Behaviour(callbacks="none"),
    "014": Behaviour("DECLINED", then=True),
    "016": Behaviour(after_s=5, callbacks="forged"),
    "021": Behaviour(None),
    "022": Behaviour(None, "UNDER_SURVEILLANCE"),
}
EVENTS: Final = {"SETTLED": "PAYMENT_SETTLED"}  # every other event is called like its state


class Customer(Struct, frozen=True):
    """Who pays."""

    msisdn: Annotated[str, Meta(pattern=r"^\d{8,15}$")]


class Initiate(Struct, frozen=True):
    """The body of an initiation."""

    amount_cents: Annotated[int, Meta(ge=1)]
    currency: Annotated[str, Meta(pattern="^(LSL|ZAR)$")]
    customer: Customer
    callback_url: str


class Payment(Struct, kw_only=True):
    """A payment, as the simulator remembers it, under the bank's name: request ids may repeat."""

    ref: str
    request_id: str
    api_key: str
    base_url: str  # of the simulator, as the client called it: of the page
    order: Initiate
    at: float
    state: str
    told: bool = False

    @property
    def behaviour(self) -> Behaviour:
        """What the payer's number chooses."""
        return BEHAVIOURS.get(self.order.customer.msisdn[-3:], Behaviour())


class StandardBankPaySimulator(Simulator[Payment]):
    """The bank's protocol over `BEHAVIOURS`."""

    name = "standard_bank_pay"
    state_type = Payment

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._tokens: dict[str, str] = {}  # by access token: the secret of the client that bought it

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/v1/payments/initiate", self.initiate),
            Route("GET", r"/api/v1/payments/([\w-]+)/status", self.status),
            Route("POST", "/oauth2/token", self.token),
            Route("GET", r"/approve/(\w+)", self.page),
            Route("POST", r"/approve/(\w+)", self.decide),
            Route("POST", r"/__simulate__/webhook/(\w+)", self.settle),
        ]

    def resume(self, key: str, state: Payment) -> None:
        if not state.told:
            self._schedule(state)

    def initiate(self, request: Request) -> Reply:
        """Begin a payment: a new one, whatever the request's id."""
        order, request_id = request.read(Initiate), request.headers.get("x-sbp-request-id", "")
        api_key = self._key_of(request)
        self.received(request, reference=request_id, payment=None, operation=None)
        if api_key is None or not request.headers.get("x-sbp-client-id"):
            return json({"error": "Unauthorized"}, 401)
        if order.amount_cents > DAILY_LIMIT:
            return json({"error": "Amount exceeds daily limit"}, 422)
        payment = Payment(
            ref=f"SBP{len(self.state) + 1:08d}",
            request_id=request_id,
            api_key=api_key,
            base_url=f"http://{request.headers.get('host', 'localhost')}",
            order=order,
            at=time.time(),
            state="",
        )
        behaviour = payment.behaviour
        if behaviour.nothing:
            return behaviour.reply or ERROR
        if behaviour.reply is not None:
            self._end(payment, "SETTLED")
            return behaviour.reply
        self._become(payment, behaviour.begins)
        self._schedule(payment)
        return json(_begun(payment), 201)

    def status(self, request: Request, ref: str) -> Reply:
        """How a payment stands, by the bank's name for it."""
        payment = self.state.get(ref)
        self.received(request, reference=payment.request_id if payment else None, payment=None, operation=None)
        if self._key_of(request) is None:
            return json({"error": "Unauthorized"}, 401)
        return json(_shown(payment)) if payment else json({"error": "Payment not found"}, 404)

    def token(self, request: Request) -> Reply:
        """An access token for client credentials."""
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        secret = base64.b64decode(pair).decode().partition(":")[2] if kind == "Basic" else ""
        if not secret or b"grant_type=client_credentials" not in request.content:
            return json({"error": "invalid_client"}, 401)
        token = hashlib.sha256(secret.encode()).hexdigest()
        self._tokens[token] = secret
        return json({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def page(self, request: Request, ref: str) -> Reply:
        """Where the payer decides."""
        payment = self.state.get(ref)
        return html(PAGE.format(ref=escape(ref), state=payment.state)) if payment else html("<p>No payment.</p>", 404)

    def decide(self, request: Request, ref: str) -> Reply:
        """The payer pressed a button."""
        payment = self.state.get(ref)
        if payment is not None and payment.state == "AWAITING_CUSTOMER":
            self._end(payment, "SETTLED" if request.query.get("pay") == "yes" else "DECLINED")
        return self.page(request, ref)

    def settle(self, request: Request, ref: str) -> Reply:
        """What the mock has for tests."""
        payment = self.state.get(ref)
        if payment is None:
            return json({"error": "Payment not found"}, 404)
        self._end(payment, "SETTLED")
        return json(_shown(payment))

    def _key_of(self, request: Request) -> str | None:
        """The key with which a client calls, however it does; its secret signs its callbacks."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            return base64.b64decode(given).decode().partition(":")[2] or None
        return self._tokens.get(given, given) if kind == "Bearer" and given != "bad" else None

    def _schedule(self, payment: Payment) -> None:
        behaviour = payment.behaviour
        if payment.state == "AWAITING_CUSTOMER" and behaviour.ends is not None:
            self.later(behaviour.after_s, partial(self._end, payment, behaviour.ends), since=payment.at)
        elif behaviour.then and payment.state == "DECLINED":
            self.later(behaviour.after_s + 2, partial(self._end, payment, "SETTLED"), since=payment.at)
        elif payment.state != "AWAITING_CUSTOMER":
            self._tell(payment, [self._callback(payment, payment.state)])
        if behaviour.callbacks == "forged" and payment.state != "SETTLED":
            self._tell(payment, [self._callback(payment, "SETTLED", forged=True)], final=False)

    def _end(self, payment: Payment, state: str) -> None:
        behaviour, late = payment.behaviour, payment.behaviour.then and state != "SETTLED"
        before = payment.state or "AWAITING_CUSTOMER"
        self._become(payment, state)
        now, earlier = self._callback(payment, state), self._callback(payment, before)
        calls = {"none": [], "many": [now, earlier, now, earlier, now]}.get(behaviour.callbacks, [now])
        self._tell(payment, calls, final=not late)
        if late:
            self.later(2, partial(self._end, payment, "SETTLED"))

    def _become(self, payment: Payment, state: str) -> None:
        """Change a payment's state; becoming settled is what moves the money."""
        if state == "SETTLED" and payment.state != "SETTLED":
            money = {"amount": payment.order.amount_cents, "currency": payment.order.currency}
            self.note("charges", id=payment.ref, payment=None, reference=payment.request_id, **money)
        payment.state = state
        self.keep(payment.ref, payment)

    def _tell(self, payment: Payment, callbacks: list[Callback], *, final: bool = True) -> None:
        self.call_back(payment.order.callback_url, callbacks, partial(self._told, payment) if final else None)

    def _told(self, payment: Payment) -> None:
        payment.told = True
        self.keep(payment.ref, payment)

    def _callback(self, payment: Payment, state: str, *, forged: bool = False) -> Callback:
        amount = payment.order.amount_cents
        details = {"ledger_entry_id": _entry(payment), "net_amount": amount - amount // 100}  # less the bank's fee
        event = {"event_type": EVENTS.get(state, state), "sbp_txn_ref": payment.ref, "details": details}
        content = msgspec.json.encode(event)
        secret = self.secret(payment.api_key)
        if secret and forged:
            secret = "whsec_c3RyYW5nZXI=" if secret.startswith("whsec_") else "somebody else"
        signed = _signature(content, secret, f"evt_{payment.ref}_{state}") if secret else {}
        return Callback(content, {"content-type": "application/json", **signed})


def _signature(content: bytes, secret: str, identifier: str) -> dict[str, str]:
    """The headers that sign a callback, in the way that the secret's form tells."""
    at = str(int(time.time()))
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{identifier}.{at}.".encode() + content, hashlib.sha256)
        given = "v1," + base64.b64encode(digest).decode()
        return {"webhook-id": identifier, "webhook-timestamp": at, "webhook-signature": given}
    if secret.startswith("t_"):
        signature = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256).hexdigest()
        return {"x-sbp-signature": f"t={at},v1={signature}"}
    return {"x-sbp-signature": hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}


def _begun(payment: Payment) -> dict[str, Any]:
    """The answer to an initiation."""
    return {
        "sbp_txn_ref": payment.ref,
        "processing_state": payment.state,
        "approval_url": f"{payment.base_url}/approve/{payment.ref}",
        "expires_in_seconds": EXPIRES_S,
        "meta": {"risk_score": 0.1},
    }


def _shown(payment: Payment) -> dict[str, Any]:
    """The answer to a query."""
    return {"processing_state": payment.state, "ledger_entry_id": _entry(payment)}


def _entry(payment: Payment) -> str | None:
    return f"LE-{payment.ref}" if payment.state == "SETTLED" else None


SIMULATOR = StandardBankPaySimulator
