"""What is asked of pawaPay: deposit, payout, refund, and how one stands. The operation's reference is its id there."""

import re
from typing import Any, Final

from providers.contract import (
    Absent,
    Ambiguous,
    Credentials,
    Declined,
    Flow,
    Login,
    MobileMoney,
    Operation,
    Outcome,
    Secret,
    Succeeded,
    asked,
)
from providers.declines import DeclineCode
from providers.http import get, post_json
from providers.money import to_major
from providers.pawapay import spec, wire
from providers.pawapay.spec import PawaPayAccount

_UNFIT: Final = re.compile(r"[^A-Za-z0-9]+")


def authenticate(settings: PawaPayAccount) -> Login:
    """The dashboard's token, as a bearer token."""
    yield from ()
    return Credentials(headers={"authorization": Secret(f"Bearer {settings.api_token}")})


def charge(operation: Operation, account: PawaPayAccount) -> Flow:
    """Have the payer's network ask for the PIN."""
    return (yield from _with_wallet(operation, "payer"))


def payout(operation: Operation, account: PawaPayAccount) -> Flow:
    """Give money from the account's wallet of the country."""
    return (yield from _with_wallet(operation, "recipient"))


def refund(operation: Operation, account: PawaPayAccount) -> Flow:
    """Give a deposit back, whole or in part; pawaPay knows to whom."""
    assert operation.target is not None
    return (yield from _start(operation, {"depositId": asked(operation.target).reference, **_sum(operation)}))


def query(operation: Operation, account: PawaPayAccount) -> Flow:
    """Ask how a deposit, payout or refund stands."""
    target = asked(operation)
    response = yield get(f"{spec.COLLECTIONS[target.verb][0]}/{target.reference}")
    if response.status != 200:
        return Ambiguous(detail=f"HTTP {response.status}")
    found = wire.decode(response.content)
    return Absent() if found.status == "NOT_FOUND" else _about(found.data or wire.Transaction(), target)


def check(settings: PawaPayAccount, callback_url: str) -> Flow:
    """Is the token good?"""
    response = yield get("/v2/active-conf")
    if response.status in (401, 403):
        return Declined(code=DeclineCode.CONFIGURATION, provider_code=str(response.status))
    return Succeeded() if response.status == 200 else Ambiguous(detail=f"HTTP {response.status}")


def _with_wallet(operation: Operation, side: str) -> Flow:
    """A deposit or payout; where no network takes this currency, it is refused before anything is sent."""
    assert isinstance(operation.method, MobileMoney)
    phone = operation.method.phone.removeprefix("+")
    network, currency = spec.NETWORKS.get(phone[:3], ("", ""))
    if currency != operation.currency:
        return Declined(code=DeclineCode.INVALID_REQUEST, provider_message="no network takes this currency there")
    wallet = {"type": "MMO", "accountDetails": {"phoneNumber": phone, "provider": network}}
    return (yield from _start(operation, {**_sum(operation), side: wallet, **_message(operation.description)}))


def _start(operation: Operation, body: dict[str, Any]) -> Flow:
    """An error refuses only in pawaPay's own words; any other proves nothing, and 500 means "do not assume failure"."""
    path, name = spec.COLLECTIONS[operation.verb]
    response = yield post_json(path, {name: operation.reference, **body, "clientReferenceId": operation.payment})
    if response.status in (200, 400, 401, 403):
        said = wire.decode(response.content)
        outcome = _about(said, operation) if said.name else wire.outcome(said)
        if response.status == 200 or isinstance(outcome, Declined):
            return outcome
    return Ambiguous(detail=f"HTTP {response.status}")


def _about(said: wire.Transaction, operation: Operation) -> Outcome:
    if said.name != operation.reference:
        return Ambiguous(detail="the answer is about another transaction")
    return wire.outcome(said)


def _sum(operation: Operation) -> dict[str, str]:
    """The amount, without a zero at the end of its decimals ("150", "10.5"): pawaPay's pattern allows none."""
    amount = to_major(operation.amount, operation.currency)
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    return {"amount": amount, "currency": operation.currency}


def _message(description: str | None) -> dict[str, str]:
    """What the payer reads: of the description what pawaPay allows, where enough is left."""
    text = _UNFIT.sub(" ", description or "").strip()[: spec.MESSAGE_LENGTHS[-1]].strip()
    return {"customerMessage": text} if len(text) in spec.MESSAGE_LENGTHS else {}
