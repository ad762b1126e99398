"""What is asked of M-Pesa: C2B single stage, B2C, reversal, and the status of a transaction.

A request is named by our reference, its ThirdPartyConversationID, which no two requests may share.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from msgspec import ValidationError
from msgspec.structs import replace

from providers.contract import (
    Credentials,
    Declined,
    Flow,
    HttpRequest,
    Login,
    LoginRefused,
    MobileMoney,
    Operation,
    Secret,
    Verb,
    asked,
)
from providers.declines import DeclineCode
from providers.encryption import rsa_encrypted
from providers.http import get, post_json
from providers.money import to_major
from providers.mpesa import spec, wire
from providers.mpesa.spec import MpesaAccount

_PUNCTUATION: Final = re.compile(r"[^0-9A-Za-z]+")


def authenticate(settings: MpesaAccount) -> Login:
    """A session for the API key. One that cannot be created (INS-989) is worth another try, and no refusal."""
    response = yield _login(settings)
    said = wire.read(response.content)
    if wire.login_refused(response):
        raise LoginRefused(said.error or str(response.status))
    if said.session is None:
        raise ValidationError("no session")
    return Credentials(headers=_headers(settings, said.session), ttl_s=spec.SESSION_S, settles_s=spec.SETTLES_S)


def charge(operation: Operation, account: MpesaAccount) -> Flow:
    """Prompt the payer for the PIN. The answer is the result (after a minute or so), or that it will come."""
    return _pay(operation, account, "c2bPayment/singleStage", "input_PurchasedItemsDesc")


def payout(operation: Operation, account: MpesaAccount) -> Flow:
    """Pay to a wallet."""
    return _pay(operation, account, "b2cPayment", "input_PaymentItemsDesc")


def _pay(operation: Operation, account: MpesaAccount, call: str, description: str) -> Flow:
    if refusal := _refusal(operation, account):
        return refusal
    words = _PUNCTUATION.sub(" ", operation.description or "")[: spec.DESCRIPTION_LENGTH].strip()
    members = {
        "input_Amount": _amount(operation),
        "input_Currency": operation.currency,
        "input_CustomerMSISDN": _msisdn(operation),
        "input_TransactionReference": operation.reference[: spec.PAYER_REFERENCE_LENGTH],
        description: words or operation.reference,
    }
    response = yield _request(account, "POST", call, operation.reference, members)
    return wire.performed(response, operation.reference)


def refund(operation: Operation, account: MpesaAccount) -> Flow:
    """Reverse a charge, all or a part of it."""
    transaction = operation.target and operation.target.provider_reference
    if not transaction:
        return _refused(DeclineCode.INVALID_REQUEST, "M-Pesa's id of the charge, which a reversal needs, is not known.")
    if refusal := _refusal(operation, account):
        return refusal
    members = {"input_TransactionID": transaction, "input_ReversalAmount": _amount(operation)}
    response = yield _request(account, "PUT", "reversal", operation.reference, members)
    return wire.performed(response, operation.reference)


def query(operation: Operation, account: MpesaAccount) -> Flow:
    """Ask what became of a charge, payout or reversal."""
    target, name = asked(operation), operation.id.replace("_", "")
    response = yield _question(account, name, target.reference)
    return wire.found(response, name, reversal=target.verb is Verb.REFUND)


def check(account: MpesaAccount, callback_url: str) -> Flow:
    """Log in and ask about nothing that exists, which shows a wrong shortcode, market or origin too."""
    session = wire.read((yield _login(account)).content).session
    if session is None:
        return _refused(DeclineCode.CONFIGURATION, "M-Pesa gives no session for this API key and public key.")
    name = hashlib.sha256(session.encode()).hexdigest()[:32]
    response = yield _question(account, name, name)
    outcome = wire.performed(response, name)
    return outcome if isinstance(outcome, Declined) else wire.found(response, name)


def _refusal(operation: Operation, account: MpesaAccount) -> Declined | None:
    """Why this account's market would not take it; then nothing is sent."""
    market = spec.MARKETS[account.market]
    payers = market.prefix + spec.LOCAL + (f"|{spec.TRIGGERS}" if account.environment == "sandbox" else "")
    if operation.currency != market.currency:
        return _refused(DeclineCode.CONFIGURATION, f"This account's market takes {market.currency}.")
    if operation.currency in spec.WHOLE_UNITS and operation.amount % 100:
        return _refused(DeclineCode.AMOUNT_OUT_OF_RANGE, f"M-Pesa takes whole {operation.currency}.")
    if not re.fullmatch(payers, _msisdn(operation)):
        return _refused(DeclineCode.INVALID_PAYER, "This is no phone number of this account's market.")
    return None


def _refused(code: DeclineCode, why: str) -> Declined:
    return Declined(code=code, provider_message=why)


def _msisdn(operation: Operation) -> str:
    assert isinstance(operation.method, MobileMoney)
    return operation.method.phone.removeprefix("+")


def _amount(operation: Operation) -> str:
    amount = to_major(operation.amount, operation.currency)
    return amount.removesuffix(".00") if operation.currency in spec.WHOLE_UNITS else amount


def _question(account: MpesaAccount, name: str, about: str) -> HttpRequest:
    return _request(account, "GET", "queryTransactionStatus", name, {"input_QueryReference": about})


def _request(account: MpesaAccount, method: str, call: str, name: str, members: Mapping[str, str]) -> HttpRequest:
    of_all = {
        "input_Country": spec.MARKETS[account.market].code,
        "input_ServiceProviderCode": account.service_provider_code,
        "input_ThirdPartyConversationID": name,
    }
    path = f"/{account.environment}/ipg/v2/{account.market}/{call}/"
    request = post_json(path, {**members, **of_all})
    return get(path, {**members, **of_all}) if method == "GET" else replace(request, method=method)


def _login(account: MpesaAccount) -> HttpRequest:
    path = f"/{account.environment}/ipg/v2/{account.market}/getSession/"
    return replace(get(path), headers=_headers(account, account.api_key), authenticated=False)


def _headers(account: MpesaAccount, token: str) -> dict[str, str]:
    """The API key or session, encrypted. `LoginRefused` when the public key is none."""
    try:
        bearer = rsa_encrypted(token, account.public_key)
    except ValueError:
        raise LoginRefused("public_key") from None
    json = {"content-type": "application/json"}
    return {"authorization": Secret(f"Bearer {bearer}"), "origin": account.origin, **json}
