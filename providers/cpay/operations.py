"""What is asked of C-Pay: charge (USSD push, the first step of OTP, or a card page), confirm, payout, query.

The operation's reference is C-Pay's extTransactionId.
"""

from typing import Any

from providers.contract import (
    ActionRequired,
    Ambiguous,
    Credentials,
    Declined,
    Flow,
    HttpResponse,
    Login,
    MobileMoney,
    Operation,
    Otp,
    Outcome,
    Pending,
    Verb,
    asked,
)
from providers.cpay import spec, wire
from providers.cpay.spec import CPayAccount
from providers.declines import DeclineCode
from providers.http import get, post_json
from providers.money import to_major
from providers.phones import local8
from providers.signing import hmac_sha256


def authenticate(settings: CPayAccount) -> Login:
    """The API key as it is, without "Bearer"."""
    yield from ()
    return Credentials(headers={"authorization": settings.api_key})


def check(account: CPayAccount, callback_url: str) -> Flow:
    """Ask about a payment that there never was. C-Pay documents what a refused key is answered, and nothing else."""
    response = yield get(spec.STATUS_PATH, {"requestReference": "0" * spec.REFERENCE.length, "dateTime": "2020-01-01"})
    refused = spec.REFUSALS.get(response.status) if response.status in (401, 403) else None
    if refused is None:
        return Ambiguous(detail=f"HTTP {response.status}: C-Pay documents no answer that would show it")
    return Declined(code=refused, provider_code=str(response.status))


def charge(operation: Operation, account: CPayAccount) -> Flow:
    """Push a prompt to the payer's handset, have C-Pay send the payer a code, or have it make a page for a card."""
    query = spec.CARD_QUERY if account.flow == "card" else {}
    response = yield post_json(spec.CHARGE_PATHS[account.flow], _wrapped(_request(operation, account)), query=query)
    page = wire.page(response) if account.flow == "card" else None
    return page or _performed(response, operation, account)


def confirm(operation: Operation, account: CPayAccount) -> Flow:
    """Pass the payer's code on. C-Pay has no word for a wrong one: its validation failure asks for another."""
    charge = asked(operation)
    response = yield post_json(spec.CONFIRM_PATH, _wrapped(_request(charge, account, otp=str(operation.otp))))
    outcome = _performed(response, charge, account)
    if isinstance(outcome, Declined) and outcome.code is DeclineCode.INVALID_REQUEST:
        wrong = Otp("C-Pay did not accept the code.")
        return ActionRequired(action=wrong, provider_reference=outcome.provider_reference)
    return outcome


def payout(operation: Operation, account: CPayAccount) -> Flow:
    """Top a wallet up from the account's float."""
    body = _wrapped(_wrapped(_request(operation, account)))
    response = yield post_json(spec.PAYOUT_PATH, body, query=_destination(operation, account))
    return _performed(response, operation, account)


def query(operation: Operation, account: CPayAccount) -> Flow:
    """Ask how it stands. The calendar date of the request in Lesotho belongs to the question; a payment is found by our
    reference, a payout among all that went to the wallet that day."""
    of = asked(operation)
    date = of.sent_at.astimezone(spec.TIME_ZONE).date().isoformat()
    if of.verb is Verb.PAYOUT:
        response = yield get(spec.INQUIRY_PATH, {**_destination(of, account), "dateTime": date})
    else:
        response = yield get(spec.STATUS_PATH, {"requestReference": of.reference, "dateTime": date})
    if response.status != 200:  # an error of the query says nothing about the payment
        return Ambiguous(detail=f"HTTP {response.status}")
    if of.verb is Verb.PAYOUT:
        return wire.payout(response.content, {of.reference, of.provider_reference} - {None})
    return _stated(wire.answer(response.content), of, account)


def checksum(account: CPayAccount, *parts: str) -> str:
    """HMAC-SHA256 in hex over extTransactionId, clientCode, amount, msisdn (and otp), joined without separators."""
    return hmac_sha256(account.hmac_secret.encode(), "".join(parts).encode()).hex()


def _wrapped(request: dict[str, Any]) -> dict[str, Any]:
    return {"transactionRequest": request}


def _phone(of: Operation) -> str:
    assert isinstance(of.method, MobileMoney)
    return of.method.phone


def _destination(of: Operation, account: CPayAccount) -> dict[str, str]:
    return {"destinationOperator": account.payout_operator, "destinationWalletNumber": local8(_phone(of))}


def _request(of: Operation, account: CPayAccount, otp: str = "") -> dict[str, Any]:
    """What all calls send; msisdn and amount must be the very text that the checksum covers."""
    msisdn = local8(_phone(of)) if account.msisdn_format == "local8" else _phone(of)
    amount = to_major(of.amount, of.currency)
    payee = {"recipientKyc": {"fullName": of.payee}} if of.payee else {}
    return {
        "extTransactionId": of.reference,
        "clientCode": account.client_code,
        "msisdn": msisdn,
        "otp": otp,
        "amount": amount,
        "currency": of.currency,
        "shortDescription": (of.description or of.reference)[: spec.DESCRIPTION_LENGTH],
        "checksum": checksum(account, of.reference, account.client_code, amount, msisdn, otp),
        "otpMedium": "sms",
        "additionalData": {"payment": of.payment, **payee},
        "redirectUrl": of.return_url if account.flow == "card" and of.verb is Verb.CHARGE else of.callback_url,
    }


def _performed(response: HttpResponse, of: Operation, account: CPayAccount) -> Outcome:
    """What an answer to anything but a query says; the body comes before the HTTP status."""
    refused = spec.REFUSALS.get(response.status)
    if response.status in (401, 403) and refused:
        return Declined(code=refused, provider_code=str(response.status))
    if not 200 <= response.status < 300 and not refused:
        return Ambiguous(detail=f"HTTP {response.status}")
    said = wire.answer(response.content)
    if refusal := wire.refusal(said):
        return refusal
    if refused and wire.status(said) is None:
        return wire.declined(said, refused, str(response.status))
    return _stated(said, of, account)


def _stated(said: wire.Answer, of: Operation, account: CPayAccount) -> Outcome:
    if said.exttransactionid and said.exttransactionid != of.reference:
        return Ambiguous(detail="the answer is about another transaction")
    outcome = wire.outcome(said)
    if isinstance(outcome, ActionRequired) and account.flow == "card":  # the payer has the page, and needs no code
        return Pending(provider_reference=outcome.provider_reference)
    return outcome
