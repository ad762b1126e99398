"""What is asked of M-Pesa: C2B single stage, B2C, reversal, and the status of a transaction.

A request is named by our reference, its ThirdPartyConversationID, which no two requests may share.
"""

import base64
import hashlib
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import ValidationError
from msgspec.structs import replace

from providers import contract
from providers.contract import Declined, Flow, HttpRequest, Operation, Verb
from providers.declines import DeclineCode
from providers.http import get, post_json
from providers.money import to_major
from providers.mpesa import spec, wire
from providers.mpesa.spec import MARKETS, MpesaAccount

_PUNCTUATION: Final = re.compile(r"[^0-9A-Za-z]+")


def authenticate(settings: MpesaAccount) -> contract.Login:
    """A session for the API key. One that cannot be created (INS-989) is worth another try, and no refusal."""
    response = yield _login(settings)
    said = wire.read(response.content)
    if wire.login_refused(response):
        raise contract.LoginRefused(said.error or str(response.status))
    if said.session is None:
        raise ValidationError("no session")
    headers = _headers(settings, said.session)
    return contract.Credentials(headers=headers, ttl_s=spec.SESSION_S, settles_s=spec.SETTLES_S)


def charge(operation: Operation, account: MpesaAccount) -> Flow:
    """Prompt the payer for the PIN. The answer is the result (after a minute or so), or that it will come."""
    if refusal := _refusal(operation, account):
        return refusal
    body = _payment(operation, account, "input_PurchasedItemsDesc")
    response = yield post_json(_path(account, "c2bPayment/singleStage"), body)
    return wire.performed(response, operation.reference)


def payout(operation: Operation, account: MpesaAccount) -> Flow:
    """Pay to a wallet."""
    if refusal := _refusal(operation, account):
        return refusal
    response = yield post_json(_path(account, "b2cPayment"), _payment(operation, account, "input_PaymentItemsDesc"))
    return wire.performed(response, operation.reference)


def refund(operation: Operation, account: MpesaAccount) -> Flow:
    """Reverse a charge, all or a part of it."""
    assert operation.target is not None
    transaction = operation.target.provider_reference
    if transaction is None:
        return _refused(DeclineCode.INVALID_REQUEST, "M-Pesa's id of the charge is not known, which a reversal needs.")
    if refusal := _refusal(operation, account):
        return refusal
    whole = operation.amount == operation.target.amount
    body = {
        "input_TransactionID": transaction,
        **({} if whole else {"input_ReversalAmount": _amount(operation)}),
        **_request(operation.reference, account),
    }
    response = yield replace(post_json(_path(account, "reversal"), body), method="PUT")
    return wire.performed(response, operation.reference)


def query(operation: Operation, account: MpesaAccount) -> Flow:
    """Ask what became of a charge, payout or reversal."""
    target, name = contract.asked(operation), operation.id.replace("_", "")
    response = yield _question(target.reference, name, account)
    return wire.found(response, name, reversal=target.verb is Verb.REFUND)


def check(account: MpesaAccount, callback_url: str) -> Flow:
    """Log in and ask about nothing that exists, which shows a wrong shortcode, market or origin too."""
    session = wire.read((yield _login(account)).content).session
    if session is None:
        return _refused(DeclineCode.CONFIGURATION, "M-Pesa gives no session for this API key and public key.")
    name = hashlib.sha256(session.encode()).hexdigest()[:32]
    response = yield _question(name, name, account)
    outcome = wire.performed(response, name)
    return outcome if isinstance(outcome, Declined) else wire.found(response, name)


def _refusal(operation: Operation, account: MpesaAccount) -> Declined | None:
    """What M-Pesa would not take, or this account's market: nothing is sent then."""
    market = MARKETS[account.market]
    if operation.currency != market.currency:
        return _refused(DeclineCode.CONFIGURATION, f"This account's market takes {market.currency}.")
    if operation.currency in spec.WHOLE_UNITS and operation.amount % 100:
        return _refused(DeclineCode.AMOUNT_OUT_OF_RANGE, f"M-Pesa takes whole {operation.currency}.")
    pattern = market.prefix + spec.LOCAL + (f"|{spec.TRIGGERS}" if account.environment == "sandbox" else "")
    if not re.fullmatch(pattern, _msisdn(operation)):
        return _refused(DeclineCode.INVALID_PAYER, "This is no phone number of this account's market.")
    return None


def _refused(code: DeclineCode, why: str) -> Declined:
    return Declined(code=code, provider_message=why)


def _msisdn(operation: Operation) -> str:
    assert isinstance(operation.method, contract.MobileMoney)
    return operation.method.phone.removeprefix("+")


def _amount(operation: Operation) -> str:
    amount = to_major(operation.amount, operation.currency)
    return amount.removesuffix(".00") if operation.currency in spec.WHOLE_UNITS else amount


def _payment(operation: Operation, account: MpesaAccount, description: str) -> dict[str, str]:
    """The body of C2B and of B2C, which call the `description` differently. It may hold no punctuation."""
    words = _PUNCTUATION.sub(" ", operation.description or "").strip()
    return {
        "input_Amount": _amount(operation),
        "input_Currency": operation.currency,
        "input_CustomerMSISDN": _msisdn(operation),
        "input_TransactionReference": operation.reference[: spec.PAYER_REFERENCE_LENGTH],
        description: (words or operation.reference)[: spec.DESCRIPTION_LENGTH].strip(),
        **_request(operation.reference, account),
    }


def _request(name: str, account: MpesaAccount) -> dict[str, str]:
    """What every request holds."""
    return {
        "input_Country": MARKETS[account.market].code,
        "input_ServiceProviderCode": account.service_provider_code,
        "input_ThirdPartyConversationID": name,
    }


def _question(about: str, name: str, account: MpesaAccount) -> HttpRequest:
    return get(_path(account, "queryTransactionStatus"), {"input_QueryReference": about, **_request(name, account)})


def _path(account: MpesaAccount, call: str) -> str:
    return f"/{account.environment}/ipg/v2/{account.market}/{call}/"


def _login(account: MpesaAccount) -> HttpRequest:
    return replace(get(_path(account, "getSession")), headers=_headers(account, account.api_key), authenticated=False)


def _headers(account: MpesaAccount, token: str) -> dict[str, str]:
    """The key or session, encrypted (RSA, PKCS #1 v1.5: other bytes each time). `LoginRefused` for a bad public key."""
    try:
        key = load_der_public_key(base64.b64decode(account.public_key))
        assert isinstance(key, RSAPublicKey)
        bearer = base64.b64encode(key.encrypt(token.encode(), PKCS1v15())).decode()
    except (ValueError, AssertionError, UnsupportedAlgorithm):
        raise contract.LoginRefused("public_key") from None
    return {
        "authorization": contract.Secret(f"Bearer {bearer}"),
        "origin": account.origin,
        "content-type": "application/json",
    }
