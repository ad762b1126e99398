"""The sandbox itself: a provider in a process of its own, on a real socket.

The last three digits of the payer's phone, or the card's token, choose what happens: `behaviours` has the table. Every
other number or token succeeds at once. Durations are multiplied by the simulator's pace::

    POST /v1/charges, /v1/authorizations, /v1/payouts     Authorization: Bearer <api key>, Idempotency-Key: <operation>
         {reference, payment, amount, currency, method, callback_url, return_url}     200, or 400, 401
    POST /v1/captures, /v1/voids, /v1/refunds             the same with `of`, what they are about, in place of `method`
    POST /v1/charges/{reference}/confirm   {otp}; "123456" is right, the third wrong one declines the charge
    GET  /v1/charges/{reference}           (and the others) 200, or 404 {"error": "transaction_not_found"}
    GET  /v1/account                       200, or 401: whether the key is accepted; every one is but "refused"
    GET  /pay/{reference}                  the page of a redirect, for a browser; POST decides

All answer a transaction, {id, reference, status, amount, currency, decline_code, next_action}. The same Idempotency-Key
never moves money twice: a repetition is answered with the transaction as it stands. Captures, voids and refunds behave
as what they follow, unless the refund's description is a card token of the table. Callbacks are
`{"id", "transaction"}`, signed as Standard Webhooks with the secret of the API key (`webhook_secret_for`, or the one
set at `/_simulator/secrets`).
"""

import base64
import hashlib
import hmac
import time
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.sandbox.behaviours import (
    BEHAVIOURS,
    ERROR,
    OTHERS,
    OTP_DIGITS,
    REDIRECT_DIGITS,
    Behaviour,
    Callbacks,
    Step,
    digits_of,
)
from providers.sandbox.book import KINDS, New, Transaction, is_possible
from providers.simulation import Callback, Reply, Request, Route, Simulator, html, json, see_other

REFUSED_KEY: Final = "refused"
RIGHT_OTP: Final = "123456"
OTP_TRIES: Final = 3
NOT_FOUND: Final = {"error": "transaction_not_found"}

PAGE: Final = """<!doctype html><html lang="en"><title>Sandbox</title><h1>Sandbox</h1><p>Pay {amount} (minor units)?</p>
<form method="post" action="/pay/{reference}?outcome=succeeded"><button>Pay</button></form>
<form method="post" action="/pay/{reference}?outcome=declined"><button>Decline</button></form></html>"""
DECIDED: Final = """<!doctype html><html lang="en"><title>Sandbox</title><h1>Sandbox</h1><p>This charge is {status}.</p>
<p><a href="{url}">Back to the shop</a></p></html>"""


class Confirmation(Struct, frozen=True):
    """The body of a confirmation."""

    otp: str


def webhook_secret_for(api_key: str) -> str:
    """The webhook secret that belongs to an API key of the sandbox, unless another was set."""
    return "whsec_" + base64.b64encode(hmac.digest(b"sandbox", api_key.encode(), "sha256")).decode()


class SandboxSimulator(Simulator[Transaction]):
    """The protocol above; transactions are kept by reference."""

    name = "sandbox"
    state_type = Transaction

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._references: dict[str, str] = {}  # by idempotency key
        self._by_id: dict[str, str] = {}
        self._following: dict[str, list[str]] = {}  # the references of what follows a transaction, by its reference

    def routes(self) -> list[Route]:
        return [
            *(Route("POST", f"/v1/{name}", partial(self.begin, name)) for name in KINDS),
            Route("POST", r"/v1/\w+/(\w+)/confirm", self.confirm),
            *(Route("GET", rf"/v1/{name}/(\w+)", partial(self.query, name)) for name in KINDS),
            Route("GET", "/v1/account", self.account),
            Route("GET", r"/pay/(\w+)", self.page),
            Route("POST", r"/pay/(\w+)", self.decide),
        ]

    def default_secret(self, api_key: str) -> str | None:
        return webhook_secret_for(api_key)

    def resume(self, key: str, state: Transaction) -> None:
        self._index(state)
        self._schedule(state)

    def begin(self, collection: str, request: Request) -> Reply:
        """Take what is asked for, once for each idempotency key."""
        new, key, api_key = request.read(New), request.headers.get("idempotency-key"), _api_key(request)
        self.received(request, reference=new.reference, payment=new.payment, operation=key)
        if api_key is None:
            return json({"error": "unauthorized"}, 401)
        if not key:
            return json({"error": "idempotency_key_missing"}, 400)
        if key in self._references:
            return json(self._view(self.state[self._references[key]]))
        if new.reference in self.state:
            return json({"error": "reference_in_use"}, 409)
        of = self._named(new.of)
        digits = _digits(new, of)
        behaviour = BEHAVIOURS[digits]
        if behaviour.status is None:
            return behaviour.reply or ERROR
        done = Transaction(
            id=KINDS[collection].prefix + new.reference,
            type=collection,
            key=key,
            api_key=api_key,
            base_url=f"http://{request.headers.get('host', 'localhost')}",
            at=time.time(),
            digits=digits,
            new=new,
            status="pending",
        )
        return self._take(done, behaviour, of)

    def _take(self, new: Transaction, behaviour: Behaviour, of: Transaction | None) -> Reply:
        follows = bool(new.kind.follows)
        others = [self.state[name] for name in self._following.get(of.new.reference, ())] if of else []
        possible = not follows or is_possible(new.new, new.type, of, others)
        self._index(new)
        if not possible:
            self._become(new, "declined", "not_possible")
            return json(self._view(new))
        status = behaviour.status or "succeeded"
        if status == "requires_action" and (follows or new.type == "payouts"):
            status = "succeeded"  # there is no payer who could act
        self._become(new, status, behaviour.decline_code)
        self._schedule(new)
        return behaviour.reply or json(self._view(new), delay_s=behaviour.delay_s)

    def _index(self, transaction: Transaction) -> None:
        self._references[transaction.key] = self._by_id[transaction.id] = transaction.new.reference
        if (of := self._named(transaction.new.of)) is not None:
            self._following.setdefault(of.new.reference, []).append(transaction.new.reference)

    def _named(self, name: str | None) -> Transaction | None:
        """By id or reference."""
        return None if name is None else self.state.get(self._by_id.get(name, name))

    def account(self, request: Request) -> Reply:
        """Say whether the key is accepted."""
        return json({"error": "unauthorized"}, 401) if _api_key(request) is None else json({"object": "account"})

    def confirm(self, request: Request, reference: str) -> Reply:
        """Judge the payer's code; an operation that comes again is not judged again."""
        charge = self.state.get(reference)
        operation = request.headers.get("idempotency-key", "")
        payment = charge.new.payment if charge else None
        self.received(request, reference=reference, payment=payment, operation=operation)
        if charge is None:
            return json(NOT_FOUND, 404)
        waits_for_otp = charge.status == "requires_action" and charge.digits == OTP_DIGITS
        if waits_for_otp and operation not in charge.wrong_otps:
            self._judge(charge, operation, request.read(Confirmation).otp)
        return json(self._view(charge))

    def query(self, collection: str, request: Request, reference: str) -> Reply:
        """How it stands."""
        found = self.state.get(reference)
        payment = found.new.payment if found else None
        self.received(request, reference=reference, payment=payment, operation=None)
        return json(self._view(found)) if found and found.type == collection else json(NOT_FOUND, 404)

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

    def _judge(self, charge: Transaction, operation: str, otp: str) -> None:
        if otp == RIGHT_OTP:
            self._become(charge, "succeeded")
            return
        charge.wrong_otps.append(operation)
        if len(charge.wrong_otps) >= OTP_TRIES:
            self._become(charge, "declined", "invalid_otp")
        else:
            self.keep(charge.new.reference, charge)

    def _become(self, done: Transaction, status: str, decline_code: str | None = None) -> None:
        """Change a status; succeeding is what moves the money."""
        status = done.kind.done if status == "succeeded" else status
        if status == done.kind.done and done.status != status:
            new = done.new
            what = {"id": done.id, "payment": new.payment, "reference": new.reference}
            if done.kind.ledger is not None:
                self.note(done.kind.ledger, **what, amount=done.amount, currency=new.currency)
            if done.type == "voids" and (of := self._named(new.of)) is not None:
                self._become(of, "declined", "voided")
        done.status, done.decline_code = status, decline_code
        self.keep(done.new.reference, done)

    def _schedule(self, charge: Transaction) -> None:
        for number, step in enumerate(charge.behaviour.steps):
            if number not in charge.steps_told:
                self.later(step.after_s, partial(self._step, charge, number, step), since=charge.at)

    def _step(self, charge: Transaction, number: int, step: Step) -> None:
        before = charge.status
        if step.status is not None and number >= charge.steps_taken:  # after a restart only its callbacks are due
            charge.steps_taken = number + 1
            self._become(charge, step.status, step.decline_code)
        done = partial(self._told, charge, number)
        self.call_back(charge.new.callback_url, self._callbacks(charge, step.callbacks, before), done)

    def _told(self, charge: Transaction, number: int) -> None:
        charge.steps_told.append(number)
        self.keep(charge.new.reference, charge)

    def _callbacks(self, charge: Transaction, which: Callbacks, before: str) -> list[Callback]:
        if which == "none":
            return []
        if which == "forged":
            return [self._callback(charge, "succeeded", secret=webhook_secret_for("somebody else"))]
        now = self._callback(charge, charge.status)
        if which == "one":
            return [now]
        earlier = self._callback(charge, before)
        return [now, earlier, now, earlier, now]

    def _callback(self, charge: Transaction, status: str, *, secret: str | None = None) -> Callback:
        """A signed callback that states `status`."""
        event = f"evt_{charge.new.reference}_{status}"
        content = msgspec.json.encode({"id": event, "transaction": {**self._view(charge), "status": status}})
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

    def _view(self, transaction: Transaction) -> dict[str, Any]:
        """A transaction as the protocol shows it."""
        waits = transaction.status == "requires_action"
        return {**transaction.view(), "next_action": _next_action(transaction) if waits else None}


def _digits(new: New, of: Transaction | None) -> str:
    """The row: of the payer or payee; what follows behaves as what it follows, unless its description names a row."""
    if new.method is not None:
        return digits_of(new.method.type, new.method.phone, new.method.token)
    named = digits_of("", "", new.description or "")
    return named if named != OTHERS or of is None else of.digits


def _next_action(charge: Transaction) -> dict[str, str]:
    if charge.digits == REDIRECT_DIGITS:
        return {"type": "redirect", "url": f"{charge.base_url}/pay/{charge.new.reference}"}
    if charge.wrong_otps:
        left = OTP_TRIES - len(charge.wrong_otps)
        return {"type": "otp", "message": f"The code was wrong; {left} more {'try' if left == 1 else 'tries'}."}
    return {"type": "otp", "message": f"Enter the code that was sent to the payer (it is {RIGHT_OTP})."}


def _api_key(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key not in ("", REFUSED_KEY) else None


SIMULATOR = SandboxSimulator
