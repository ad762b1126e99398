"""Daraja, as its clients describe it, for tests and for work without a network.

The wallet's number chooses what happens: `behaviours` has the table.

Nothing is idempotent but a payout's OriginatorConversationID: a repeated push is another prompt. Passwords are checked
against the passkey shared for a shortcode at `/_simulator/secrets`; else only their form is. A push also reports as a
payment to the paybill, where URLs are registered. Shortcode 600999 has been registered by somebody else. Any consumer
key but "bad" is accepted; tokens are forgotten at a restart.
"""

import base64
import binascii
import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

import providers.daraja.messages as messages
from providers.daraja.behaviours import ANSWERED_S, BEHAVIOURS, FORGED, LATE, NORMAL, OWN, error
from providers.daraja.messages import (
    Handset,
    Late,
    Payout,
    Push,
    PushQuery,
    Registration,
    Reversal,
    StatusQuery,
    Transaction,
)
from providers.simulation import Reply, Request, Route, Simulator, json

TAKEN: Final = "600999"


class DarajaSimulator(Simulator[Transaction]):
    """Daraja's protocol over `BEHAVIOURS`."""

    name = "daraja"
    state_type = Transaction

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._tokens: set[str] = set()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/oauth/v1/generate", self.token),
            Route("POST", "/mpesa/stkpush/v1/processrequest", self._known(self.push)),
            Route("POST", "/mpesa/stkpushquery/v1/query", self._known(self.push_query)),
            Route("POST", "/mpesa/b2c/v3/paymentrequest", self._known(self.pay_out)),
            Route("POST", "/mpesa/reversal/v1/request", self._known(self.reverse)),
            Route("POST", "/mpesa/transactionstatus/v1/query", self._known(self.status)),
            Route("POST", "/mpesa/c2b/v[12]/registerurl", self._known(self.register)),
            Route("POST", "/mpesa/c2b/v[12]/simulate", self._known(self.from_handset)),
        ]

    def resume(self, key: str, state: Transaction) -> None:
        if state.kind != "urls" and state.code is None:
            self._schedule(state)

    # --- requests -------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Reply:
        """A token for the holder of a key and its secret."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            key, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            key, secret = "", ""
        if scheme != "Basic" or not secret or key in ("", "bad") or request.query.get("grant_type") is None:
            return Reply(status=400)
        self._tokens.add(token := secrets.token_urlsafe(21))
        return json({"access_token": token, "expires_in": "3599"})

    def push(self, request: Request) -> Reply:
        """Prompt a payer."""
        body = request.read(Push)
        self._received(request, body.AccountReference)
        if refusal := self._wrong_password(body.BusinessShortCode, body.Password, body.Timestamp):
            return refusal
        behaviour = BEHAVIOURS.get(body.PartyA[-3:], NORMAL)
        if behaviour.refusal is not None:
            return behaviour.refusal
        number = len(self.state) + 1
        opened = self._open(
            kind="charges",
            id=f"ws_CO_{messages.stamp('%d%m%Y%H%M%S')}{number:06d}{body.PartyA}",
            reference=body.AccountReference,
            phone=body.PartyA,
            amount=body.Amount,
            shortcode=body.BusinessShortCode,
            url=body.CallBackURL,
        )
        return behaviour.reply or json(messages.push_accepted(opened, number), delay_s=behaviour.delay_s)

    def push_query(self, request: Request) -> Reply:
        """How a push stands."""
        body = request.read(PushQuery)
        found = self.state.get(body.CheckoutRequestID)
        self._received(request, found.reference if found else None)
        if refusal := self._wrong_password(body.BusinessShortCode, body.Password, body.Timestamp):
            return refusal
        if found is None:
            return error(500, "500.001.1001", "The transaction does not exist")
        if found.code is None and found.behaviour.push is not None:
            return error(500, "500.001.1001", "The transaction is being processed")
        return json(messages.push_stands(found))

    def pay_out(self, request: Request) -> Reply:
        """Pay a wallet, once for each OriginatorConversationID."""
        body = request.read(Payout)
        self._received(request, body.OriginatorConversationID)
        if any(one.originator == body.OriginatorConversationID for one in self.state.values()):
            return error(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        return self._promise(
            body,
            kind="payouts",
            originator=body.OriginatorConversationID,
            reference=body.OriginatorConversationID,
            phone=body.PartyB,
            amount=body.Amount,
        )

    def reverse(self, request: Request) -> Reply:
        """Give a payment back; what is wrong with it shows in the result."""
        body = request.read(Reversal)
        original = self._paid(body.TransactionID)
        reference = original.reference if original else None
        self._received(request, reference)
        return self._promise(
            body,
            kind="refunds",
            originator=f"{len(self.state) + 1}-7910404-1",
            reference=reference or "",
            original=body.TransactionID,
            phone=original.phone if original else "",
            amount=body.Amount,
        )

    def status(self, request: Request) -> Reply:
        """How a transaction stands; told later."""
        body = request.read(StatusQuery)
        found = next((one for one in self.state.values() if messages.is_meant(one, body)), None)
        self._received(request, found.reference if found else None)
        asked = Transaction(
            kind="", id=messages.conversation(), originator=secrets.token_hex(9), at=0, url=body.ResultURL
        )
        self.later(ANSWERED_S, partial(self.call_back, asked.url, [messages.status(asked, found)]))
        return json(messages.accepted(asked))

    def register(self, request: Request) -> Reply:
        """Where payments from handsets are reported."""
        body = request.read(Registration)
        self._received(request, None)
        if body.ShortCode == TAKEN:
            return error(500, "500.003.1001", "Urls are already registered")
        urls = {"url": body.ConfirmationURL, "late_url": body.ValidationURL}
        self._open(kind="urls", id=f"urls {body.ShortCode}", shortcode=body.ShortCode, **urls)
        return json({"OriginatorCoversationID": "1-1-1", "ResponseCode": "0", "ResponseDescription": "success"})

    def from_handset(self, request: Request) -> Reply:
        """A payer pays the paybill unasked: validation first, then it is done, whatever validation said."""
        body = request.read(Handset)
        self._received(request, body.BillRefNumber)
        self._open(
            kind="handset",
            id=messages.conversation(),
            reference=body.BillRefNumber,
            phone=body.Msisdn,
            amount=body.Amount,
            shortcode=body.ShortCode,
        )
        description = "Accept the service request successfully."
        return json({"OriginatorCoversationID": "1-1-2", "ResponseCode": "0", "ResponseDescription": description})

    def _known(self, handler: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        """The handler, for requests with a token of ours and a body as documented."""

        def checked(request: Request) -> Reply:
            if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
                return error(404, "404.001.03", "Invalid Access Token")
            try:
                return handler(request)
            except msgspec.MsgspecError as wrong:
                return error(400, "400.002.02", f"Bad Request - {wrong}")

        return checked

    def _received(self, request: Request, reference: str | None) -> None:
        self.received(request, reference=reference, payment=None, operation=None)

    def _wrong_password(self, shortcode: str, password: str, timestamp: str) -> Reply | None:
        passkey = self.secret(shortcode)
        wanted = re.escape(shortcode) + (".+" if passkey is None else re.escape(passkey)) + re.escape(timestamp)
        try:
            right = re.fullmatch(wanted, base64.b64decode(password, validate=True).decode()) is not None
        except (binascii.Error, UnicodeDecodeError):
            right = False
        return None if right else error(500, "500.001.1001", "Wrong credentials")

    # --- what becomes of them -------------------------------------------------------------------------------------

    def _open(self, **fields: Any) -> Transaction:
        opened = Transaction(at=time.time(), receipt=f"SIM{len(self.state) + 1:07d}", **fields)
        self.keep(opened.id, opened)
        if opened.kind != "urls":
            self._schedule(opened)
        return opened

    def _promise(self, body: Late, **fields: Any) -> Reply:
        """Accept what will be answered later."""
        fields |= {"id": messages.conversation(), "url": body.ResultURL, "late_url": body.QueueTimeOutURL}
        behaviour = Transaction(at=0, **fields).behaviour
        if behaviour.refusal is not None:
            return behaviour.refusal
        opened = self._open(**fields)
        return behaviour.reply or json(messages.accepted(opened), delay_s=behaviour.delay_s)

    def _schedule(self, one: Transaction) -> None:
        """What is still to come. Results are told later, but what they tell happens at once; so does all unanswered."""
        behaviour, code = one.behaviour, self._code(one)
        if FORGED in behaviour.calls:
            self.later(ANSWERED_S, partial(self.call_back, one.url, [messages.forged(one)]), since=one.at)
        if code is not None and (one.kind in ("payouts", "refunds") or behaviour.reply is not None):
            self._end(one, code)
        elif code is not None:
            self.later(behaviour.after_s, partial(self._end, one, code), since=one.at)
        if behaviour.then is not None:
            self.later(behaviour.after_s + 2, partial(self._end, one, behaviour.then), since=one.at)

    def _code(self, one: Transaction) -> str | None:
        """How it will end."""
        if one.kind != "refunds":
            return one.behaviour.push if one.kind in ("charges", "handset") else one.behaviour.payout
        original = self._paid(one.original)
        return "R000002" if original is None else "R000001" if original.reversed else one.behaviour.payout

    def _end(self, one: Transaction, code: str) -> None:
        one.code = code
        if code == "0":
            self._move_money(one)
        self.keep(one.id, one)
        late = one.kind in ("payouts", "refunds")
        if one.kind != "handset":
            urls = {OWN: one.url, LATE: one.late_url or one.url}
            for url in (urls[call] for call in one.behaviour.calls if call in urls):
                self.later(ANSWERED_S if late else 0, partial(self.call_back, url, [messages.result(one)]))
        if code == "0" and one.kind in ("charges", "handset"):
            self._report(one)

    def _move_money(self, one: Transaction) -> None:
        kind = "charges" if one.kind == "handset" else one.kind
        if one.kind == "refunds" and (original := self._paid(one.original)) is not None:
            original.reversed = True
            self.keep(original.id, original)
        what = {"id": one.receipt, "payment": None, "reference": one.reference}
        self.note(kind, **what, amount=one.amount * 100, currency="KES")

    def _report(self, one: Transaction) -> None:
        """A payment to the paybill, to the registered URLs."""
        urls = self.state.get(f"urls {one.shortcode}")
        if urls is None:
            return
        confirm = partial(self.call_back, urls.url, [messages.payment(one, balance="49197.00")])
        if one.kind == "handset":
            self.call_back(urls.late_url, [messages.payment(one, balance="")], confirm)
        else:
            confirm()

    def _paid(self, receipt: str) -> Transaction | None:
        paid = (one for one in self.state.values() if one.receipt == receipt and one.code == "0")
        return next((one for one in paid if one.kind in ("charges", "handset")), None)


SIMULATOR = DarajaSimulator
