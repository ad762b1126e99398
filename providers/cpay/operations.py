"""What is asked of C-Pay: charge (USSD push, or the first step of OTP), confirm with the code, query.

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


def charge(operation: Operation, account: CPayAccount) -> Flow:
    """Push a prompt to the payer's handset, or have C-Pay send the payer a code."""
    response = yield post_json(spec.CHARGE_PATHS[account.flow], _body(operation, account))
    return _performed(response, operation)


def confirm(operation: Operation, account: CPayAccount) -> Flow:
    """Pass the payer's code on. C-Pay has no word for a wrong one: its validation failure asks for another."""
    charge = asked(operation)
    response = yield post_json(spec.CONFIRM_PATH, _body(charge, account, otp=str(operation.otp)))
    outcome = _performed(response, charge)
    if isinstance(outcome, Declined) and outcome.code is DeclineCode.INVALID_REQUEST:
        return ActionRequired(
            action=Otp("C-Pay did not accept the code."), provider_reference=outcome.provider_reference
        )
    return outcome


def query(operation: Operation, account: CPayAccount) -> Flow:
    """Ask how the payment stands; it is found by our reference and the calendar date of the request in Lesotho."""
    charge = asked(operation)
    date = charge.sent_at.astimezone(spec.TIME_ZONE).date()
    response = yield get(spec.STATUS_PATH, {"requestReference": charge.reference, "dateTime": date.isoformat()})
    if response.status != 200:  # an error of the query says nothing about the payment
        return Ambiguous(detail=f"HTTP {response.status}")
    return _stated(wire.answer(response.content), charge)


def checksum(account: CPayAccount, *parts: str) -> str:
    """HMAC-SHA256 in hex over extTransactionId, clientCode, amount, msisdn (and otp), joined without separators."""
    return hmac_sha256(account.hmac_secret.encode(), "".join(parts).encode()).hex()


def _body(charge: Operation, account: CPayAccount, otp: str = "") -> dict[str, Any]:
    """The body of all three calls; msisdn and amount must be the very text that the checksum covers."""
    assert isinstance(charge.method, MobileMoney)
    phone = charge.method.phone
    msisdn = local8(phone) if account.msisdn_format == "local8" else phone
    amount = to_major(charge.amount, charge.currency)
    request = {
        "extTransactionId": charge.reference,
        "clientCode": account.client_code,
        "msisdn": msisdn,
        "otp": otp,
        "amount": amount,
        "currency": charge.currency,
        "shortDescription": (charge.description or charge.reference)[: spec.DESCRIPTION_LENGTH],
        "checksum": checksum(account, charge.reference, account.client_code, amount, msisdn, otp),
        "otpMedium": "sms",
        "additionalData": {"payment": charge.payment},
        "redirectUrl": charge.callback_url,
    }
    return {"transactionRequest": request}


def _performed(response: HttpResponse, charge: Operation) -> Outcome:
    """What an answer to a charge or confirmation says; the body comes before the HTTP status."""
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
    return _stated(said, charge)


def _stated(said: wire.Answer, charge: Operation) -> Outcome:
    if said.exttransactionid and said.exttransactionid != charge.reference:
        return Ambiguous(detail="the answer is about another transaction")
    return wire.outcome(said)
