"""The sandbox itself: a provider in a process of its own, on a real socket.

The last three digits of the payer's phone, or the card's token, choose what happens: `behaviours` has the table. Every
other number or token succeeds at once. Durations are multiplied by the simulator's pace::

    POST /v1/charges                       Authorization: Bearer <api key>, Idempotency-Key: <operation>
         {reference, payment, amount, currency, method, callback_url, return_url}    200 with the charge, or 400, 401
    POST /v1/charges/{reference}/confirm   {otp}; "123456" is right, the third wrong one declines the charge
    GET  /v1/charges/{reference}           200, or 404 {"error": "charge_not_found"}
    GET  /pay/{reference}                  the page of a redirect, for a browser; POST decides

A charge is {id, reference, status, amount, currency, decline_code, next_action}. The same Idempotency-Key never charges
twice: a repetition is answered with the charge as it stands. Callbacks are `{"id", "charge"}`, signed as Standard
Webhooks with the secret of the API key (`webhook_secret_for`, or the one set at `/_simulator/secrets`).
"""

import base64
import hashlib
import hmac
import time
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from providers.sandbox.behaviours import (
    BEHAVIOURS,
    ERROR,
    OTP_DIGITS,
    REDIRECT_DIGITS,
    Behaviour,
    Callbacks,
    Step,
    digits_of,
)
from providers.simulation import Callback, Reply, Request, Route, Simulator, html, json, see_other

RIGHT_OTP: Final = "123456"
OTP_TRIES: Final = 3

PAGE: Final = """<!doctype html><html lang="en"><title>Sandbox</title><h1>Sandbox</h1><p>Pay {amount} (minor units)?</p>
<form method="post" action="/pay/{reference}?outcome=succeeded"><button>Pay</button></form>
<form method="post" action="/pay/{reference}?outcome=declined"><button>Decline</button></form></html>"""
DECIDED: Final = """<!doctype html><html lang="en"><title>Sandbox</title><h1>Sandbox</h1><p>This charge is {status}.</p>
<p><a href="{url}">Back to the shop</a></p></html>"""


class Method(Struct, frozen=True):
    """How the payer pays: a phone, a token, or neither (redirect)."""

    type: str
    phone: str = ""
    token: str = ""


class NewCharge(Struct, frozen=True):
    """The body of a charge."""

    reference: Annotated[str, Meta(pattern=r"^\w{1,100}$")]
    payment: str
    amount: Annotated[int, Meta(ge=1)]
    currency: str
    method: Method
    callback_url: str
    return_url: str


class Confirmation(Struct, frozen=True):
    """The body of a confirmation."""

    otp: str


class Charge(Struct, kw_only=True):
    """A charge, as the simulator remembers it."""

    id: str
    key: str  # the idempotency key
    api_key: str
    base_url: str  # of the simulator, as the client called it: of the redirect's page
    at: float  # Unix seconds
    digits: str  # of BEHAVIOURS
    new: NewCharge
    status: str
    decline_code: str | None = None
    steps_taken: int = 0
    steps_told: list[int] = []  # those whose callbacks were delivered, or given up
    wrong_otps: list[str] = []  # the operations that brought them

    @property
    def behaviour(self) -> Behaviour:
        """The row of the table that the payer chose."""
        return BEHAVIOURS[self.digits]

    @property
    def amount(self) -> int:
        """What is charged, in minor units: not always what was asked."""
        return self.new.amount + self.behaviour.added


def webhook_secret_for(api_key: str) -> str:
    """The webhook secret that belongs to an API key of the sandbox, unless another was set."""
    return "whsec_" + base64.b64encode(hmac.digest(b"sandbox", api_key.encode(), "sha256")).decode()


class SandboxSimulator(Simulator[Charge]):
    """The protocol above; charges are kept by reference."""

    name = "sandbox"
    state_type = Charge

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._references: dict[str, str] = {}  # by idempotency key

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/charges", self.charge),
            Route("POST", r"/v1/charges/(\w+)/confirm", self.confirm),
            Route("GET", r"/v1/charges/(\w+)", self.query),
            Route("GET", r"/pay/(\w+)", self.page),
            Route("POST", r"/pay/(\w+)", self.decide),
        ]

    def default_secret(self, api_key: str) -> str | None:
        return webhook_secret_for(api_key)

    def resume(self, key: str, state: Charge) -> None:
        self._references[state.key] = key
        self._schedule(state)

    def charge(self, request: Request) -> Reply:
        """Take a charge, once for each idempotency key."""
        new, key, api_key = request.read(NewCharge), request.headers.get("idempotency-key"), _api_key(request)
        self.received(request, reference=new.reference, payment=new.payment, operation=key)
        if api_key is None:
            return json({"error": "unauthorized"}, 401)
        if not key:
            return json({"error": "idempotency_key_missing"}, 400)
        if key in self._references:
            return json(self._view(self.state[self._references[key]]))
        if new.reference in self.state:
            return json({"error": "reference_in_use"}, 409)
        digits = digits_of(new.method.type, new.method.phone, new.method.token)
        behaviour = BEHAVIOURS[digits]
        if behaviour.status is None:
            return behaviour.reply or ERROR
        charge = Charge(
            id="ch_" + new.reference,
            key=key,
            api_key=api_key,
            base_url=f"http://{request.headers.get('host', 'localhost')}",
            at=time.time(),
            digits=digits,
            new=new,
            status="pending",
        )
        self._references[key] = new.reference
        self._become(charge, behaviour.status, behaviour.decline_code)
        self._schedule(charge)
        return behaviour.reply or json(self._view(charge), delay_s=behaviour.delay_s)

    def confirm(self, request: Request, reference: str) -> Reply:
        """Judge the payer's code; an operation that comes again is not judged again."""
        charge = self.state.get(reference)
        operation = request.headers.get("idempotency-key", "")
        payment = charge.new.payment if charge else None
        self.received(request, reference=reference, payment=payment, operation=operation)
        if charge is None:
            return json({"error": "charge_not_found"}, 404)
        waits_for_otp = charge.status == "requires_action" and charge.digits == OTP_DIGITS
        if waits_for_otp and operation not in charge.wrong_otps:
            self._judge(charge, operation, request.read(Confirmation).otp)
        return json(self._view(charge))

    def query(self, request: Request, reference: str) -> Reply:
        """How a charge stands."""
        charge = self.state.get(reference)
        payment = charge.new.payment if charge else None
        self.received(request, reference=reference, payment=payment, operation=None)
        return json(self._view(charge)) if charge else json({"error": "charge_not_found"}, 404)

    def page(self, request: Request, reference: str) -> Reply:
        """Where a redirected payer decides."""
        charge = self.state.get(reference)
        if charge is None:
            return html("<p>No such charge.</p>", 404)
        if charge.status != "requires_action":
            return html(DECIDED.format(status=escape(charge.status), url=escape(charge.new.return_url)))
        amount = f"{charge.new.amount} {charge.new.currency}"
        return html(PAGE.format(amount=escape(amount), reference=reference))

    def decide(self, request: Request, reference: str) -> Reply:
        """The payer pressed a button of the page."""
        charge = self.state.get(reference)
        if charge is None:
            return html("<p>No such charge.</p>", 404)
        if charge.status == "requires_action":
            paid = request.query.get("outcome") == "succeeded"
            self._become(charge, "succeeded" if paid else "declined", None if paid else "payer_refused")
            self.call_back(charge.new.callback_url, [self._callback(charge, charge.status)])
        return see_other(charge.new.return_url)

    def _judge(self, charge: Charge, operation: str, otp: str) -> None:
        if otp == RIGHT_OTP:
            self._become(charge, "succeeded")
            return
        charge.wrong_otps.append(operation)
        if len(charge.wrong_otps) >= OTP_TRIES:
            self._become(charge, "declined", "invalid_otp")
        else:
            self.keep(charge.new.reference, charge)

    def _become(self, charge: Charge, status: str, decline_code: str | None = None) -> None:
        """Change a charge's status; becoming succeeded is what moves the money."""
        if status == "succeeded" and charge.status != "succeeded":
            new = charge.new
            what = {"id": charge.id, "payment": new.payment, "reference": new.reference}
            self.note("charges", **what, amount=charge.amount, currency=new.currency)
        charge.status, charge.decline_code = status, decline_code
        self.keep(charge.new.reference, charge)

    def _schedule(self, charge: Charge) -> None:
        for number, step in enumerate(charge.behaviour.steps):
            if number not in charge.steps_told:
                self.later(step.after_s, partial(self._step, charge, number, step), since=charge.at)

    def _step(self, charge: Charge, number: int, step: Step) -> None:
        before = charge.status
        if step.status is not None and number >= charge.steps_taken:  # after a restart only its callbacks are due
            charge.steps_taken = number + 1
            self._become(charge, step.status, step.decline_code)
        done = partial(self._told, charge, number)
        self.call_back(charge.new.callback_url, self._callbacks(charge, step.callbacks, before), done)

    def _told(self, charge: Charge, number: int) -> None:
        charge.steps_told.append(number)
        self.keep(charge.new.reference, charge)

    def _callbacks(self, charge: Charge, which: Callbacks, before: str) -> list[Callback]:
        if which == "none":
            return []
        if which == "forged":
            return [self._callback(charge, "succeeded", secret=webhook_secret_for("somebody else"))]
        now = self._callback(charge, charge.status)
        if which == "one":
            return [now]
        earlier = self._callback(charge, before)
        return [now, earlier, now, earlier, now]

    def _callback(self, charge: Charge, status: str, *, secret: str | None = None) -> Callback:
        """A signed callback that states `status`."""
        event = f"evt_{charge.new.reference}_{status}"
        content = msgspec.json.encode({"id": event, "charge": {**self._view(charge), "status": status}})
        timestamp = str(int(time.time()))
        key = base64.b64decode((secret or self.secret(charge.api_key) or "").removeprefix("whsec_"))
        signature = hmac.digest(key, b".".join((event.encode(), timestamp.encode(), content)), hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "webhook-id": event,
            "webhook-timestamp": timestamp,
            "webhook-signature": "v1," + base64.b64encode(signature).decode(),
        }
        return Callback(content, headers)

    def _view(self, charge: Charge) -> dict[str, Any]:
        """A charge as the protocol shows it."""
        return {
            "id": charge.id,
            "reference": charge.new.reference,
            "status": charge.status,
            "amount": charge.amount,
            "currency": charge.new.currency,
            "decline_code": charge.decline_code,
            "next_action": _next_action(charge) if charge.status == "requires_action" else None,
        }


def _next_action(charge: Charge) -> dict[str, str]:
    if charge.digits == REDIRECT_DIGITS:
        return {"type": "redirect", "url": f"{charge.base_url}/pay/{charge.new.reference}"}
    if charge.wrong_otps:
        left = OTP_TRIES - len(charge.wrong_otps)
        return {"type": "otp", "message": f"The code was wrong; {left} more {'try' if left == 1 else 'tries'}."}
    return {"type": "otp", "message": f"Enter the code that was sent to the payer (it is {RIGHT_OTP})."}


def _api_key(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key else None


SIMULATOR = SandboxSimulator
