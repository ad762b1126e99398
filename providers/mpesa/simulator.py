"""M-Pesa OpenAPI, as its portal describes it, for tests and for work without a network.

The sandbox's documented numbers work: wallets 00000000000N, reversals of 13 digits, queries of 12 and 21. Of any other
number the last three digits choose what happens; of a reversal, those of the amount in minor units::

    001  accepted, succeeds after a second     007  HTTP 503, not done          013  as 001, but without a callback
    002  insufficient balance                  008  done; the connection resets 014  fails, and then succeeds
    003  accepted, fails after a second        009  done; the answer is about   015  the callback overtakes the answer
    004  accepted, and never ends                   another request             016  a forged callback, later success
    005  done; never answered                  010  done; a firewall's page     others: done, and answered at once
    006  done; HTTP 500                        012  as 001, five callbacks

A repeated ThirdPartyConversationID is refused (INS-10), as the portal says. No answer states an amount, so a wrong one
cannot be played. Callbacks are unsigned, and go where the portal would know: `POST /_simulator/secrets {"api_key": …,
"secret": <the callback address>}`. Beside the control endpoints that every simulator has::

    GET  /_simulator/public_key   {"public_key": …}: for the account's settings
    GET  /_simulator/sessions     {"opened": n}: how many there were
    POST /_simulator/sessions     {"live_after_s": 30}: none is taken for so long after it was opened
"""

import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
from msgspec import Struct

from providers.mpesa.behaviours import (
    ASKED,
    CUSTOMERS,
    PAYEES,
    REVERSED,
    Behaviour,
    Callbacks,
    Step,
    behaviour,
    triggered,
)
from providers.mpesa.platform_key import PUBLIC_KEY, Sessions, decrypted
from providers.mpesa.portal import (
    COMMON,
    DESCRIPTIONS,
    MARKETS,
    PAYING,
    fields,
    minor,
    origin_is_refused,
    problem,
    said,
    state,
    wrong,
)
from providers.simulation import Callback, Reply, Request, Route, Simulator, json


class Transaction(Struct, kw_only=True):
    """A request to move money that was taken, under its ThirdPartyConversationID."""

    id: str
    reference: str
    conversation: str
    kind: str  # the ledger's
    api_key: str
    shortcode: str
    digits: str  # of BEHAVIOURS
    at: float
    amount: int  # minor units
    currency: str
    code: str | None = None  # how it ended
    original: str | None = None  # of a reversal: the reference of what it reverses
    reversed: int = 0  # minor units given back
    steps_taken: int = 0
    steps_told: list[int] = []


class Money(NamedTuple):
    """What a request would move: minor units, a currency, who, and how that one behaves."""

    amount: int
    currency: str
    digits: str
    behaviour: Behaviour
    original: str | None = None


class MpesaSimulator(Simulator[Transaction]):
    """The protocol over the tables of `behaviours`."""

    name = "mpesa"
    state_type = Transaction

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._sessions = Sessions()

    def routes(self) -> list[Route]:
        base = r"/(sandbox|openapi)/ipg/v2/(\w+)"
        return [
            Route("GET", base + "/getSession/", self.open_session),
            Route("POST", base + "/c2bPayment/singleStage/", self.take),
            Route("POST", base + "/b2cPayment/", self.give),
            Route("PUT", base + "/reversal/", self.reverse),
            Route("GET", base + "/queryTransactionStatus/", self.query),
            Route("GET", "/_simulator/public_key", lambda request: json({"public_key": PUBLIC_KEY})),
            Route("GET", "/_simulator/sessions", lambda request: json(self._sessions)),
            Route("POST", "/_simulator/sessions", self.change_sessions),
        ]

    def resume(self, key: str, state: Transaction) -> None:
        self._schedule(state)

    # --- Sessions -------------------------------------------------------------------------------------------------

    def open_session(self, request: Request, environment: str, market: str) -> Reply:
        """Exchange the API key for a session."""
        api_key = decrypted(request.headers.get("authorization", ""))
        if origin_is_refused(request):
            return json({"output_error": "Origin not allowed"}, 403)
        if not api_key or api_key.startswith("wrong"):
            return said("INS-989")
        return said("INS-0", status=200, output_SessionID=self._sessions.open(api_key))

    def change_sessions(self, request: Request) -> Reply:
        """See above."""
        self._sessions.live_after_s = request.read(Sessions).live_after_s
        return json(self._sessions)

    def _api_key(self, request: Request) -> str | None:
        return self._sessions.holder(request.headers.get("authorization", ""))

    def _refusal(
        self, request: Request, given: Mapping[str, str], wanted: tuple[str, ...], environment: str, market: str
    ) -> Reply | None:
        """Note a request, and answer what is wrong with it."""
        reference = given.get("ThirdPartyConversationID")
        self.received(request, reference=given.get("QueryReference", reference), payment=None, operation=None)
        if origin_is_refused(request):
            return json({"output_error": "Origin not allowed"}, 403)
        if self._api_key(request) is None:
            return json({"output_error": "Unauthorized"}, 401)
        code = wrong(given, wanted, environment, market)
        return problem(code, given) if code else None

    # --- Money ----------------------------------------------------------------------------------------------------

    def take(self, request: Request, *place: str) -> Reply:
        """Take from a wallet (C2B)."""
        return self._pay("charges", "PurchasedItemsDesc", CUSTOMERS, request, *place)

    def give(self, request: Request, *place: str) -> Reply:
        """Give to a wallet (B2C)."""
        return self._pay("payouts", "PaymentItemsDesc", PAYEES, request, *place)

    def _pay(self, kind: str, words: str, numbers: Mapping[str, str], request: Request, *place: str) -> Reply:
        given = fields(request.read(dict[str, str]))
        if refusal := self._refusal(request, given, (*PAYING, words), *place):
            return refusal
        wallet, amount = given["CustomerMSISDN"], minor(given["Amount"])
        code = numbers.get(wallet[-1]) if wallet.startswith("0" * 11) else None
        chosen = triggered(code) if code else behaviour(wallet[-3:])
        digits = "" if code else wallet[-3:]
        return self._perform(request, kind, given, Money(amount, given["Currency"], digits, chosen))

    def reverse(self, request: Request, environment: str, market: str) -> Reply:
        """Give back what a transaction took, or a part."""
        given = fields(request.read(dict[str, str]))
        if refusal := self._refusal(request, given, ("TransactionID", *COMMON), environment, market):
            return refusal
        if re.fullmatch("0{12}[1-7]", given["TransactionID"]):
            chosen = triggered(REVERSED[given["TransactionID"][-1]])
            amount = minor(given.get("ReversalAmount", "1"))
            return self._perform(request, "refunds", given, Money(amount, MARKETS[market][1], "", chosen))
        target = self._known(given["TransactionID"])
        if target is None or target.code != "INS-0" or target.kind == "refunds":
            return problem("INS-18", given)
        if target.shortcode != given["ServiceProviderCode"]:
            return problem("INS-35", given)
        amount = minor(given["ReversalAmount"]) if "ReversalAmount" in given else target.amount
        if given["ThirdPartyConversationID"] not in self.state and target.reversed + amount > target.amount:
            return problem("INS-15", given)
        digits = f"{amount:03d}"[-3:]
        money = Money(amount, target.currency, digits, behaviour(digits), target.reference)
        return self._perform(request, "refunds", given, money)

    def _perform(self, request: Request, kind: str, given: Mapping[str, str], money: Money) -> Reply:
        reference, chosen = given["ThirdPartyConversationID"], money.behaviour
        if reference in self.state:
            return problem("INS-10", given)
        if not chosen.kept:
            return chosen.reply or problem("INS-16", given)
        transaction = Transaction(
            id=uuid4().hex[:10].upper(),
            reference=reference,
            conversation=uuid4().hex,
            kind=kind,
            api_key=self._api_key(request) or "",
            shortcode=given["ServiceProviderCode"],
            digits=money.digits,
            at=time.time(),
            amount=money.amount,
            currency=money.currency,
            original=money.original,
        )
        self._end(transaction, chosen.code)
        self._schedule(transaction)
        return msgspec.structs.replace(chosen.reply or _answer(transaction), delay_s=chosen.delay_s)

    # --- What became of it ----------------------------------------------------------------------------------------

    def query(self, request: Request, *place: str) -> Reply:
        """How a transaction stands. By the length of its name: M-Pesa's id, or one of the two conversations' ids."""
        given = fields(request.query)
        if refusal := self._refusal(request, given, ("QueryReference", *COMMON), *place):
            return refusal
        name = given["QueryReference"]
        if code := ASKED.get(len(name), {}).get(name[-1]) if name[:-1].strip("0") == "" else None:
            return problem(f"INS-{code}", given) if code != "0" else state(given, "Completed", name, len(name) == 21)
        transaction = self._known(name)
        if transaction is None:
            return problem("INS-23", given)
        word = "Pending" if transaction.code is None else "Completed" if transaction.code == "INS-0" else "Failed"
        return state(given, word, transaction.id, transaction.reversed == transaction.amount)

    def _known(self, name: str) -> Transaction | None:
        if len(name) > 20:
            known = self.state.get(name)
            return known or next((one for one in self.state.values() if one.conversation == name), None)
        return next((one for one in self.state.values() if one.id == name), None)

    def _end(self, transaction: Transaction, code: str | None) -> None:
        """Change how a transaction ended; becoming INS-0 is what moves the money."""
        if code == "INS-0" and transaction.code != "INS-0":
            what = {"id": transaction.id, "payment": None, "reference": transaction.reference}
            self.note(transaction.kind, **what, amount=transaction.amount, currency=transaction.currency)
            if target := self.state.get(transaction.original or ""):
                target.reversed += transaction.amount
                self.keep(target.reference, target)
        transaction.code = code
        self.keep(transaction.reference, transaction)

    # --- What comes later -----------------------------------------------------------------------------------------

    def _schedule(self, transaction: Transaction) -> None:
        for number, step in enumerate(behaviour(transaction.digits).steps):
            if number not in transaction.steps_told:
                self.later(step.after_s, partial(self._step, transaction, number, step), since=transaction.at)

    def _step(self, transaction: Transaction, number: int, step: Step) -> None:
        if step.code is not None and number >= transaction.steps_taken:  # after a restart only its callbacks are due
            transaction.steps_taken = number + 1
            self._end(transaction, step.code)
        url = self.secret(transaction.api_key)
        callbacks = _callbacks(transaction, step.callbacks) if url else []
        self.call_back(url or "", callbacks, partial(self._told, transaction, number))

    def _told(self, transaction: Transaction, number: int) -> None:
        transaction.steps_told.append(number)
        self.keep(transaction.reference, transaction)


def _callbacks(transaction: Transaction, which: Callbacks) -> list[Callback]:
    if which == "forged":
        return [_callback(transaction, "INS-0", "FORGED0001")]
    return [_callback(transaction, transaction.code or "INS-0", transaction.id)] * {"none": 0, "one": 1, "five": 5}[
        which
    ]


def _callback(transaction: Transaction, code: str, name: str) -> Callback:
    body = {
        "input_OriginalConversationID": transaction.conversation,
        "input_TransactionID": name if code == "INS-0" else "N/A",
        "input_ResultCode": code,
        "input_ResultDesc": DESCRIPTIONS[code],
        "input_ThirdPartyConversationID": transaction.reference,
    }
    return Callback(msgspec.json.encode(body), {"content-type": "application/json"})


def _answer(transaction: Transaction) -> Reply:
    """To the request itself: without an end, it was only accepted."""
    return said(
        transaction.code or "INS-0",
        output_TransactionID=transaction.id if transaction.code == "INS-0" else "N/A",
        output_ConversationID=transaction.conversation,
        output_ThirdPartyConversationID=transaction.reference,
    )


SIMULATOR = MpesaSimulator
