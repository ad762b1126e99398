"""pawaPay, as its documents describe it (Merchant API v2), for tests and for work without a network.

The last three digits of the wallet's number choose what happens; 789 and every other number completes after a second::

    deposits   019 PAYER_LIMIT_REACHED   029 PAYER_NOT_FOUND   039 PAYMENT_NOT_APPROVED   049 INSUFFICIENT_BALANCE
               069 UNSPECIFIED_FAILURE   129 stays SUBMITTED
    payouts,   089 RECIPIENT_NOT_FOUND   099 WALLET_LIMIT_REACHED   109 RECIPIENT_LIMIT_REACHED
    refunds    119 UNSPECIFIED_FAILURE   129 stays SUBMITTED   139 is ENQUEUED first

and, beyond the documents, of all three::

    005  completes; nothing is ever answered      012  five callbacks, repeated and out of order
    006  completes; the answer is an HTTP 500     013  completes without a callback
    007  HTTP 500, and nothing happened           014  fails, and completes two seconds later
    008  completes; the connection is reset       015  completes; the answer takes 20 s
    009  completes with one minor unit more       016  a callback that somebody else signed; completes after 5 s
    018  rejected: PROVIDER_TEMPORARILY_UNAVAILABLE      021  the callback's signature is in DER, as in their example

An id that was received is ignored: DUPLICATE_IGNORED. Any bearer token is good that does not begin with "bad".
Callbacks go where the dashboard says: `POST /_simulator/callbacks {"api_key": token, "url": …}` (not kept over a
restart, but for what was received). They are signed with the key of `GET /v2/public-key/http`, always the same one.
"""

import hashlib
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from providers.pawapay.behaviours import BEHAVIOURS, COMPLETES, Behaviour
from providers.pawapay.protocol import (
    KEY,
    KEY_ID,
    LEDGER,
    NAMES,
    NETWORKS,
    PUBLIC_KEY,
    STRANGERS_KEY,
    UUID4,
    Kind,
    Order,
    Wallet,
    error,
    minor,
    problem_of,
    rejected,
    signed,
    token_of,
    unauthorized,
)
from providers.simulation import Callback, Reply, Request, Route, Simulator, json


class Transaction(Struct, kw_only=True):
    """A deposit, payout or refund, as the simulator remembers it."""

    id: str
    kind: Kind
    of: str | None  # a refund's deposit
    wallet: Wallet
    amount: int  # minor units
    currency: str
    client_reference: str | None
    message: str | None
    callback_url: str | None
    at: float
    created: str
    status: str = "ACCEPTED"
    failure: str | None = None
    told: bool = False  # every callback was delivered, or given up

    @property
    def behaviour(self) -> Behaviour:
        """What the wallet's number chooses."""
        return BEHAVIOURS[self.kind].get(self.wallet.account_details.phone_number[-3:], COMPLETES)


class Dashboard(Struct, frozen=True):
    """What an account's dashboard is told."""

    api_key: str
    url: str


class PawaPaySimulator(Simulator[Transaction]):
    """pawaPay's protocol over `BEHAVIOURS`; transactions are kept by their id."""

    name = "pawapay"
    state_type = Transaction

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """See `Simulator`."""
        super().__init__(directory, pace=pace)
        self._dashboards: dict[str, str] = {}

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v2/(deposits|payouts|refunds)", self.begin),
            Route("GET", "/v2/(deposits|payouts|refunds)/([^/]+)", self.query),
            Route("GET", "/v2/active-conf", self.configuration),
            Route("GET", "/v2/public-key/http", self.public_keys),
            Route("POST", "/_simulator/callbacks", self.dashboard),
        ]

    def resume(self, key: str, state: Transaction) -> None:
        if not state.told:
            self._schedule(state)

    def begin(self, request: Request, kind: Kind) -> Reply:
        """Take an order, once for each id."""
        try:
            order = request.read(Order)
        except msgspec.MsgspecError:
            return error(400, "INVALID_PARAMETER")
        identifier = {"deposits": order.deposit_id, "payouts": order.payout_id, "refunds": order.refund_id}[kind]
        self.received(request, reference=identifier, payment=order.client_reference_id, operation=None)
        if refusal := unauthorized(request):
            return refusal
        if identifier is None or not UUID4.fullmatch(identifier):
            return error(400, "INVALID_PARAMETER")
        if identifier in self.state:
            return json({NAMES[kind]: identifier, "status": "DUPLICATE_IGNORED"})
        made = self._order(kind, identifier, order, token_of(request))
        if isinstance(made, str):
            return rejected(kind, identifier, made)
        behaviour = made.behaviour
        if behaviour.rejected:
            return rejected(kind, identifier, behaviour.rejected)
        if not behaviour.nothing:
            self._become(made, behaviour.meanwhile)
            if behaviour.reply:
                self._end(made)
            else:
                self._schedule(made)
        accepted = {NAMES[kind]: identifier, "status": "ACCEPTED", "created": made.created}
        return behaviour.reply or json(accepted, delay_s=behaviour.delay_s)

    def query(self, request: Request, kind: Kind, identifier: str) -> Reply:
        """How a transaction stands."""
        found = self.state.get(identifier)
        payment = found.client_reference if found else None
        self.received(request, reference=identifier, payment=payment, operation=None)
        if refusal := unauthorized(request):
            return refusal
        if found is None or found.kind != kind:
            return json({"status": "NOT_FOUND"})
        return json({"status": "FOUND", "data": {**_view(found), "clientReferenceId": found.client_reference}})

    def configuration(self, request: Request) -> Reply:
        """What the account may do."""
        signatures = {"signedRequestsOnly": False, "signedCallbacks": True}
        return unauthorized(request) or json({"companyName": "Shop", "signatureConfiguration": signatures})

    def public_keys(self, request: Request) -> Reply:
        """The key that signs callbacks."""
        return json([{"id": KEY_ID, "key": PUBLIC_KEY}])

    def dashboard(self, request: Request) -> Reply:
        """Tell where callbacks go."""
        told = request.read(Dashboard)
        self._dashboards[told.api_key] = told.url
        return json({"url": told.url})

    def _order(self, kind: Kind, identifier: str, order: Order, token: str) -> Transaction | str:
        """The transaction that is ordered, or the failure code with which it is rejected."""
        deposit = self.state.get(order.deposit_id or "") if kind == "refunds" else None
        wallet = deposit.wallet if deposit else order.payer if kind == "deposits" else order.recipient
        if wallet is None:
            return "NOT_FOUND" if kind == "refunds" else "MISSING_PARAMETER"
        if problem := problem_of(order, wallet):
            return problem
        amount = minor(order.amount or "", NETWORKS[wallet.account_details.provider][3])
        if deposit and (problem := self._problem_of_refund(deposit, amount)):
            return problem
        return Transaction(
            id=identifier,
            kind=kind,
            of=deposit.id if deposit else None,
            wallet=wallet,
            amount=amount,
            currency=order.currency or "",
            client_reference=order.client_reference_id,
            message=order.customer_message,
            callback_url=self._dashboards.get(token),
            at=time.time(),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _problem_of_refund(self, deposit: Transaction, amount: int) -> str | None:
        if deposit.status != "COMPLETED":
            return "INVALID_STATE"
        others = [each for each in self.state.values() if each.of == deposit.id and each.status != "FAILED"]
        if any(each.status != "COMPLETED" for each in others):
            return "REFUND_IN_PROGRESS"
        left = deposit.amount - sum(each.amount for each in others)
        if left == 0:
            return "DEPOSIT_ALREADY_REFUNDED"
        return "AMOUNT_TOO_LARGE" if amount > left else None

    def _schedule(self, transaction: Transaction) -> None:
        behaviour = transaction.behaviour
        if behaviour.ends is not None and transaction.status not in ("COMPLETED", "FAILED"):
            self.later(behaviour.after_s, partial(self._end, transaction), since=transaction.at)
        elif transaction.status == "FAILED" and behaviour.then:
            self.later(behaviour.after_s + 2, partial(self._complete, transaction), since=transaction.at)
        elif behaviour.ends is not None:
            self._tell(transaction, [self._callback(transaction)])
        if behaviour.callbacks == "forged":
            lie = {**_view(transaction), "status": "COMPLETED"}
            self._tell(transaction, [self._callback(transaction, lie, key=STRANGERS_KEY)], final=False)

    def _end(self, transaction: Transaction) -> None:
        """Money moves when it completes."""
        behaviour, before = transaction.behaviour, _view(transaction)
        if behaviour.ends is None:
            return
        transaction.failure = behaviour.failure
        self._become(transaction, behaviour.ends)
        now = self._callback(transaction)
        callbacks = [] if behaviour.callbacks == "none" else [now]
        if behaviour.callbacks == "many":
            earlier = self._callback(transaction, before)
            callbacks = [now, earlier, now, earlier, now]
        self._tell(transaction, callbacks, final=not behaviour.then)
        if behaviour.then:
            self.later(2, partial(self._complete, transaction))

    def _complete(self, transaction: Transaction) -> None:
        """What had failed completes after all."""
        transaction.failure = None
        self._become(transaction, "COMPLETED")
        self._tell(transaction, [self._callback(transaction)])

    def _become(self, transaction: Transaction, status: str) -> None:
        if status == "COMPLETED" and transaction.status != "COMPLETED":
            what = {"id": _network_id(transaction), "payment": transaction.client_reference}
            amount = transaction.amount + transaction.behaviour.added
            money = {"amount": amount, "currency": transaction.currency}
            self.note(LEDGER[transaction.kind], **what, reference=transaction.id, **money)
        transaction.status = status
        self.keep(transaction.id, transaction)

    def _tell(self, transaction: Transaction, callbacks: list["Callback | None"], *, final: bool = True) -> None:
        sent = [each for each in callbacks if each is not None]
        if transaction.callback_url is not None:
            done = partial(self._told, transaction) if final else None
            self.call_back(transaction.callback_url, sent, done)

    def _told(self, transaction: Transaction) -> None:
        transaction.told = True
        self.keep(transaction.id, transaction)

    def _callback(
        self, transaction: Transaction, view: dict[str, Any] | None = None, *, key: ec.EllipticCurvePrivateKey = KEY
    ) -> Callback | None:
        if transaction.callback_url is None:
            return None
        content = msgspec.json.encode(view or _view(transaction))
        der = transaction.behaviour.callbacks == "der"
        return Callback(content, signed(content, transaction.callback_url, datetime.now(UTC), key, der=der))


def _view(transaction: Transaction) -> dict[str, Any]:
    """A transaction as callbacks show it; the answer to a query has its reference too."""
    details = transaction.wallet.account_details
    decimals = NETWORKS[details.provider][3]
    amount = transaction.amount + transaction.behaviour.added
    failure = transaction.failure
    return {
        NAMES[transaction.kind]: transaction.id,
        "status": transaction.status,
        "amount": f"{amount // 10**decimals}.{amount % 10**decimals:02d}" if decimals else f"{amount}.0000",
        "currency": transaction.currency,
        "country": details.provider[-3:],
        "payer" if transaction.kind == "deposits" else "recipient": transaction.wallet,
        "customerMessage": transaction.message,
        "created": transaction.created,
        "providerTransactionId": _network_id(transaction) if transaction.status == "COMPLETED" else None,
        "failureReason": failure and {"failureCode": failure, "failureMessage": failure.replace("_", " ").lower()},
        "metadata": {},
    }


def _network_id(transaction: Transaction) -> str:
    return hashlib.sha256(transaction.id.encode()).hexdigest()[:12].upper()


SIMULATOR = PawaPaySimulator
