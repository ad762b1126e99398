"""C-Pay, as its document describes it, for tests and for work without a network.

The last three digits of the payer's number choose what happens; every other number approves::

    000  approves after a second        005  approves; no answer is ever sent   017  approves, three callbacks
    002  is denied                      006  approves; the answer is HTTP 500   018  has no wallet
    003  cancels                        013  approves, no callback              019  approves; reversed a second later
    004  never answers the prompt                                               020  gets the card page in a frame

With USSD push that happens a second after the request (005 and 006 at once); with OTP when the code arrives: 123456 is
right; with a card when the payer presses a button of the page, whose address is in the header `RedirectUrl` of an
HTTP 400 (020: in a frame of an HTTP 202). A payout to such a number ends so a second after it was accepted. As the
document promises nothing about a repeated extTransactionId, a repeated request charges or pays again. Checksums are
checked when the API key's HMAC secret was set at `/_simulator/secrets`; otherwise only their form is. Callbacks are
unsigned. Answers are wrapped in "return", callbacks have capitalised keys, as seen in the wild.
"""

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from providers.cpay.payers import IN_FRAME, NO_WALLET, PAGE, Body, Payment, PayoutBody, TransactionRequest
from providers.simulation import Callback, Reply, Request, Route, Simulator, html, json, see_other

RIGHT_OTP: Final = "123456"
PROMPT_S: Final = 1.0  # until the payer answers the prompt


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
            Route("POST", "/api/disbursements/wallet-topup-advance", self.pay_out),
            Route("GET", "/api/disbursements/payment-inquiry", self.inquire),
            Route("GET", r"/card/(\w+)", self.page),
            Route("POST", r"/card/(\w+)", self.decide),
        ]

    def resume(self, key: str, state: Payment) -> None:
        if state.wallet is None:
            self._latest[state.request.ext_transaction_id] = state
        if state.status in ("OPEN", "ACCEPTED"):
            self.later(PROMPT_S, partial(self._end, state), since=state.at)
        if state.status == "PROCESSED" and state.behaviour.reversed:
            self.later(PROMPT_S, partial(self._reverse, state))

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
        """Send the payer a code, or make a page for the payer's card."""
        if refusal := self._refusal(request):
            return refusal
        if request.query.get("cardPayment") == "true":
            payment = self._open(request, "CARD")
            return _link(payment, f"http://{request.headers.get('host', 'localhost')}/card/{payment.id}")
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

    def pay_out(self, request: Request) -> Reply:
        """Top a wallet up; it is not settled yet when it is accepted."""
        if refusal := self._refusal(request):
            return refusal
        payout = self._open(request, "ACCEPTED", _wallet(request))
        if payout.behaviour.reply is None:
            self.later(PROMPT_S, partial(self._end, payout))
            return json(_capitalised(_answer(payout)))
        self._end(payout)
        return payout.behaviour.reply

    def inquire(self, request: Request) -> Reply:
        """The payouts that went to a wallet on a day, all of them."""
        wallet, date = _wallet(request), request.query.get("dateTime")
        found = [one for one in self.state.values() if one.wallet == wallet and _date(one.at) == date]
        for one in found:
            of = one.request
            payment = of.additional_data.get("payment")
            self.received(request, reference=of.ext_transaction_id, payment=payment, operation=None)
        return json([_transfer(one) for one in found])

    def page(self, request: Request, number: str) -> Reply:
        """Where the payer enters a card."""
        payment = self.state.get(number)
        return html(PAGE.format(amount=payment.request.amount, id=number) if payment else "<p>No such payment.</p>")

    def decide(self, request: Request, number: str) -> Reply:
        """The payer pressed a button of the page."""
        payment = self.state.get(number)
        if payment is None:
            return html("<p>No such payment.</p>", 404)
        self._end(payment, None if request.query.get("pay") == "yes" else "CANCELED")
        return see_other(payment.request.redirect_url)

    def _refusal(self, request: Request) -> Reply | None:
        """Note a request, and answer what is wrong with it."""
        body = _body(request)
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

    def _open(self, request: Request, status: str, wallet: str | None = None) -> Payment:
        number = f"CP{len(self.state) + 1:010d}"
        payment = Payment(id=number, request=_body(request), at=time.time(), status=status, wallet=wallet)
        if wallet is None:
            self._latest[payment.request.ext_transaction_id] = payment
        self.keep(payment.id, payment)
        return payment

    def _end(self, payment: Payment, instead: str | None = None) -> None:
        """What the payer does: money moves when they approve."""
        status = instead or payment.behaviour.status
        if status is None or payment.status not in ("OPEN", "OTPSEND", "CARD", "ACCEPTED"):
            return
        payment.status = status
        if status == "PROCESSED":
            self._note_money(payment)
            if payment.behaviour.reversed:
                self.later(PROMPT_S, partial(self._reverse, payment))
        self._tell(payment)

    def _reverse(self, payment: Payment) -> None:
        """C-Pay takes a success back."""
        payment.status = "REVERSED"
        self._tell(payment)

    def _tell(self, payment: Payment) -> None:
        """Keep how a payment stands now, and call back; about payouts nobody is called."""
        self.keep(payment.id, payment)
        callback = Callback(msgspec.json.encode(_capitalised(_answer(payment))), {"content-type": "application/json"})
        if payment.wallet is None:
            self.call_back(payment.request.redirect_url, [callback] * payment.behaviour.callbacks)

    def _note_money(self, payment: Payment) -> None:
        body = payment.request
        minor = int(body.amount.replace(".", ""))
        what = {"id": payment.id, "payment": body.additional_data.get("payment"), "reference": body.ext_transaction_id}
        self.note("payouts" if payment.wallet else "charges", **what, amount=minor, currency=body.currency)


def _body(request: Request) -> TransactionRequest:
    if request.path.startswith("/api/disbursements/"):
        return request.read(PayoutBody).transaction_request.transaction_request
    return request.read(Body).transaction_request


def _wallet(request: Request) -> str:
    return f"{request.query.get('destinationOperator', 'CPAY')} {request.query.get('destinationWalletNumber')}"


def _answer(payment: Payment) -> dict[str, Any]:
    on_page = payment.status == "CARD"
    return {
        "statusCode": "0000",
        "description": "Successful" if payment.status == "PROCESSED" else payment.status,
        "extTransactionId": payment.request.ext_transaction_id,
        "cPayTransactionId": payment.id,
        "paymentRequestStatus": None if on_page else payment.status,
        "additionalData": payment.request.additional_data,
        "reasonCode": "paymentIncomplete" if on_page else None,
    }


def _capitalised(members: dict[str, Any]) -> dict[str, Any]:
    return {key[0].upper() + key[1:]: value for key, value in members.items()}


def _transfer(payout: Payment) -> dict[str, Any]:
    """A payout in an inquiry's list, where it goes by C-Pay's id."""
    return {
        "state": payout.status,
        "issuertrxref": payout.request.ext_transaction_id,
        "acquirertrxref": payout.id,
        "walletdestination": payout.request.msisdn,
        "rejectMessage": "Rejected by the operator" if payout.status == "DENIED" else None,
        "createtime": datetime.fromtimestamp(payout.at, UTC).isoformat(),
    }


def _link(payment: Payment, url: str) -> Reply:
    """The two ways in which a card page was seen to be announced."""
    if payment.request.msisdn.endswith(IN_FRAME):
        return html(f'<html><body><iframe src="{url}"></iframe></body></html>', 202)
    said = {"StatusCode": "202", "Description": "Payment Link Created.", "ExtTransactionId": payment.id}
    headers = {"content-type": "application/json", "RedirectUrl": url}
    return Reply(status=400, content=msgspec.json.encode(said), headers=headers)


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
