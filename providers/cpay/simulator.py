"""C-Pay, as its document describes it, for tests and for work without a network.

The last three digits of the payer's number choose what happens; every other number approves::

    000  approves after a second        004  never answers the prompt           013  approves, no callback
    002  is denied                      005  approves; no answer is ever sent   017  approves, three callbacks
    003  cancels                        006  approves; the answer is HTTP 500   018  has no wallet

With USSD push that happens a second after the request (005 and 006 at once); with OTP when the code arrives: 123456 is
right. As the document promises nothing about a repeated extTransactionId, a repeated request charges again. Checksums
are checked when the API key's HMAC secret was set at `/_simulator/secrets`; otherwise only their form is. Callbacks
are unsigned. Answers are wrapped in "return", callbacks have capitalised keys, as seen in the wild.
"""

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from providers.simulation import HANG, Callback, Reply, Request, Route, Simulator, json

RIGHT_OTP: Final = "123456"
PROMPT_S: Final = 1.0  # until the payer answers the prompt


class Behaviour(NamedTuple):
    """How a payer ends a payment, how the provider answers meanwhile, and how often it calls back."""

    status: str | None = "PROCESSED"  # None: never ends
    reply: Reply | None = None
    callbacks: int = 1


APPROVES: Final = Behaviour()
BEHAVIOURS: Final = {
    "000": APPROVES,
    "002": Behaviour("DENIED"),
    "003": Behaviour("CANCELED"),
    "004": Behaviour(None),
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=json({"statusCode": "500", "description": "Internal server error"}, 500)),
    "013": Behaviour(callbacks=0),
    "017": Behaviour(callbacks=3),
}
NO_WALLET: Final = "018"


class TransactionRequest(Struct, frozen=True, rename="camel"):
    """The inner body of all three calls."""

    ext_transaction_id: str
    client_code: str
    msisdn: str
    amount: str
    currency: str
    checksum: str
    redirect_url: str
    otp: str = ""
    short_description: str = ""
    additional_data: dict[str, Any] = {}


class Body(Struct, frozen=True, rename="camel"):
    """The body of all three calls."""

    transaction_request: TransactionRequest


class Payment(Struct, kw_only=True):
    """A payment, as the simulator remembers it, under its own id: references may repeat."""

    id: str
    request: TransactionRequest
    at: float
    status: str

    @property
    def behaviour(self) -> Behaviour:
        """What the payer's number chooses."""
        return BEHAVIOURS.get(self.request.msisdn[-3:], APPROVES)


class CPaySimulator(Simulator[Payment]):
    """C-Pay's protocol over `BEHAVIOURS`."""

    name = "cpay"
    state_type = Payment

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._latest: dict[str, Payment] = {}  # by extTransactionId

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/cpaypayments/paymentrequest/async/transactions", self.push),
            Route("POST", "/api/cpaypayments/payment", self.send_otp),
            Route("POST", "/api/cpaypayments/confirm", self.confirm),
            Route("GET", "/api/cpaypayments/transaction-status", self.query),
        ]

    def resume(self, key: str, state: Payment) -> None:
        self._latest[state.request.ext_transaction_id] = state
        if state.status == "OPEN":
            self.later(PROMPT_S, partial(self._end, state), since=state.at)

    def push(self, request: Request) -> Reply:
        """Prompt the payer on the handset."""
        if refusal := self._refusal(request):
            return refusal
        payment = self._open(request, "OPEN")
        if payment.behaviour.reply is None:
            self.later(PROMPT_S, partial(self._end, payment))
            return json({"return": _answer(payment)})
        self._end(payment)
        return payment.behaviour.reply

    def send_otp(self, request: Request) -> Reply:
        """Send the payer a code."""
        if refusal := self._refusal(request):
            return refusal
        return json({"return": {**_answer(self._open(request, "OTPSEND")), "reasonCode": "otpSent"}})

    def confirm(self, request: Request) -> Reply:
        """Judge the payer's code."""
        if refusal := self._refusal(request):
            return refusal
        body = request.read(Body).transaction_request
        payment = self._latest.get(body.ext_transaction_id)
        if payment is None or payment.status != "OTPSEND" or body.otp != RIGHT_OTP:
            return _problem(400, "Invalid OTP", "validationFailure")
        self._end(payment)
        return payment.behaviour.reply or json({"return": _answer(payment)})

    def query(self, request: Request) -> Reply:
        """How a payment stands; only under the calendar date, in Lesotho, of its request."""
        reference = request.query.get("requestReference", "")
        payment = self._latest.get(reference)
        of = payment.request.additional_data.get("payment") if payment else None
        self.received(request, reference=reference, payment=of, operation=None)
        if payment is None or request.query.get("dateTime") != _date(payment.at):
            return _problem(404, "Transaction not found")
        return json(_answer(payment))

    def _refusal(self, request: Request) -> Reply | None:
        """Note a request, and answer what is wrong with it."""
        body = request.read(Body).transaction_request
        of = body.additional_data.get("payment")
        self.received(request, reference=body.ext_transaction_id, payment=of, operation=None)
        api_key = request.headers.get("authorization")
        if not api_key:
            return _problem(401, "Unauthorized")
        if not re.fullmatch(r"\d+\.\d\d", body.amount) or body.currency != "LSL" or len(body.short_description) > 20:
            return _problem(400, "Invalid field", "validationFailure")
        if not _checksum_right(body, self.secret(api_key)):
            return _problem(400, "Checksum does not match", "checksumError")
        return _problem(200, "Wallet account does not exist") if body.msisdn.endswith(NO_WALLET) else None

    def _open(self, request: Request, status: str) -> Payment:
        body = request.read(Body).transaction_request
        payment = Payment(id=f"CP{len(self.state) + 1:010d}", request=body, at=time.time(), status=status)
        self._latest[body.ext_transaction_id] = payment
        self.keep(payment.id, payment)
        return payment

    def _end(self, payment: Payment) -> None:
        """What the payer does: money moves when they approve."""
        behaviour = payment.behaviour
        if behaviour.status is None or payment.status not in ("OPEN", "OTPSEND"):
            return
        payment.status = behaviour.status
        if behaviour.status == "PROCESSED":
            self._note_charge(payment)
        self.keep(payment.id, payment)
        content = msgspec.json.encode({key[0].upper() + key[1:]: value for key, value in _answer(payment).items()})
        callback = Callback(content, {"content-type": "application/json"})
        self.call_back(payment.request.redirect_url, [callback] * behaviour.callbacks)

    def _note_charge(self, payment: Payment) -> None:
        body = payment.request
        minor = int(body.amount.replace(".", ""))
        what = {"id": payment.id, "payment": body.additional_data.get("payment"), "reference": body.ext_transaction_id}
        self.note("charges", **what, amount=minor, currency=body.currency)


def _answer(payment: Payment) -> dict[str, Any]:
    return {
        "statusCode": "0000",
        "description": "Successful" if payment.status == "PROCESSED" else payment.status,
        "extTransactionId": payment.request.ext_transaction_id,
        "cPayTransactionId": payment.id,
        "paymentRequestStatus": payment.status,
        "additionalData": payment.request.additional_data,
        "reasonCode": None,
    }


def _problem(status: int, description: str, reason: str | None = None) -> Reply:
    return json({"statusCode": str(status), "description": description, "reasonCode": reason}, status)


def _checksum_right(body: TransactionRequest, secret: str | None) -> bool:
    if secret is None:
        return re.fullmatch(r"[0-9a-f]{64}", body.checksum) is not None
    salt = f"{body.ext_transaction_id}{body.client_code}{body.amount}{body.msisdn}{body.otp}"
    return hmac.compare_digest(hmac.new(secret.encode(), salt.encode(), hashlib.sha256).hexdigest(), body.checksum)


def _date(at: float) -> str:
    """The date in Lesotho, two hours ahead of UTC."""
    return (datetime.fromtimestamp(at, UTC) + timedelta(hours=2)).date().isoformat()


SIMULATOR = CPaySimulator
