"""What is asked of Daraja: a push to the payer's handset, payout, reversal, and how they stand.

Only a push can be asked about directly. Everything else is answered later, by callback: there an acknowledgement is
Pending (or Deferred, of a query), under the name of the conversation that the answer will quote.
"""

import base64
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from providers.contract import (
    Ambiguous,
    Credentials,
    Declined,
    Deferred,
    Flow,
    HttpRequest,
    HttpResponse,
    Login,
    LoginRefused,
    MobileMoney,
    Operation,
    Outcome,
    Pending,
    Secret,
    Succeeded,
    Throttled,
    Verb,
    asked,
)
from providers.daraja import spec, wire
from providers.daraja.spec import DarajaAccount
from providers.declines import DeclineCode
from providers.http import post_json
from providers.money import exponent

NO_INITIATOR: Final = Declined(
    code=DeclineCode.CONFIGURATION,
    provider_message="The account needs initiator_name, initiator_password and certificate.",
)
NO_RECEIPT: Final = Declined(
    code=DeclineCode.INVALID_REQUEST,
    provider_message="The payment's M-Pesa receipt number is not known, without which it cannot be reversed.",
)


def authenticate(settings: DarajaAccount) -> Login:
    """A token for an hour. Wrong credentials are HTTP 400 with an empty body."""
    basic = base64.b64encode(f"{settings.consumer_key}:{settings.consumer_secret}".encode()).decode()
    response = yield HttpRequest(
        method="GET",
        path=spec.LOGIN,
        query={"grant_type": "client_credentials"},
        headers={"authorization": Secret(f"Basic {basic}")},
        authenticated=False,
    )
    if response.status in (400, 401):
        raise LoginRefused(wire.answer(response).error_code or str(response.status))
    said = wire.login(response.content)
    return Credentials(headers={"authorization": Secret(f"Bearer {said.access_token}")}, ttl_s=float(said.expires_in))


def login_expired(response: HttpResponse) -> bool:
    """Whether the token was refused: before anything else was looked at."""
    return wire.answer(response).error_code in spec.TOKEN_ERRORS


def charge(operation: Operation, account: DarajaAccount) -> Flow:
    """Prompt the payer. Without an answer there is no CheckoutRequestID, and only a callback can bring it."""
    response = yield post_json(
        spec.PUSH,
        {
            **_password(account, operation.sent_at),
            "TransactionType": spec.TRANSACTION_TYPES[account.transaction_type],
            "Amount": _shillings(operation),
            "PartyA": _msisdn(operation),
            "PartyB": account.party_b or account.shortcode,
            "PhoneNumber": _msisdn(operation),
            "CallBackURL": operation.callback_url,
            "AccountReference": operation.reference,
            "TransactionDesc": (operation.description or operation.reference)[: spec.DESCRIPTION_LENGTH],
        },
    )
    said = wire.answer(response)
    return wire.refusal(said, response.status) or Pending(provider_reference=said.checkout)


def payout(operation: Operation, account: DarajaAccount) -> Flow:
    """Pay a wallet; the operation's reference is the OriginatorConversationID."""
    credential = _credential(account)
    if credential is None:
        return NO_INITIATOR
    response = yield post_json(
        spec.PAYOUT,
        {
            "OriginatorConversationID": operation.reference,
            "InitiatorName": account.initiator_name,
            "SecurityCredential": credential,
            "CommandID": "BusinessPayment",
            "Amount": _shillings(operation),
            "PartyA": account.shortcode,
            "PartyB": _msisdn(operation),
            **_answered_at(operation, spec.RESULT, spec.RESULT_LATE),
            "Occassion": "",
        },
    )
    said = wire.answer(response)
    return wire.refusal(said, response.status) or Pending(provider_reference=wire.conversation(said))


def refund(operation: Operation, account: DarajaAccount) -> Flow:
    """Reverse the whole of a payment, by its receipt number."""
    credential = _credential(account)
    receipt = wire.receipt_of(operation.target.provider_reference) if operation.target is not None else None
    if credential is None or receipt is None:
        return NO_INITIATOR if credential is None else NO_RECEIPT
    response = yield post_json(
        spec.REVERSAL,
        {
            "Initiator": account.initiator_name,
            "SecurityCredential": credential,
            "CommandID": "TransactionReversal",
            "TransactionID": receipt,
            "Amount": _shillings(operation),
            "ReceiverParty": account.shortcode,
            "RecieverIdentifierType": "11",
            **_answered_at(operation, spec.RESULT, spec.RESULT_LATE),
            "Occasion": "",
        },
    )
    said = wire.answer(response)
    return wire.refusal(said, response.status) or Pending(provider_reference=wire.conversation(said))


def query(operation: Operation, account: DarajaAccount) -> Flow:
    """Ask by the name that we know; a receipt that a callback told us is asked about first, its other names never."""
    target = asked(operation)
    told, known = operation.provider_reference, target.provider_reference
    name = told if known is None or wire.receipt_of(told) else known
    credential = _credential(account)
    if target.verb is Verb.CHARGE and wire.receipt_of(name) and credential is None:
        name = known
    if target.verb is Verb.CHARGE and name and not wire.receipt_of(name):
        return (yield from _ask_about_push(operation, name, account))
    by = _status_names(target, name)
    if credential is None or not by:
        return Ambiguous(detail="there is nothing to ask by" if credential else "there is no initiator to ask as")
    response = yield post_json(
        spec.STATUS,
        {
            "Initiator": account.initiator_name,
            "SecurityCredential": credential,
            "CommandID": "TransactionStatusQuery",
            **by,
            "PartyA": account.shortcode,
            "IdentifierType": "2" if account.transaction_type == "till" else "4",
            **_answered_at(operation, spec.STATUS_RESULT, spec.STATUS_LATE),
            "Occasion": "",
        },
    )
    said = wire.answer(response)
    promised = wire.conversation(said)
    if (refused := wire.refusal(said, response.status)) or promised is None:
        return _about_the_query(refused, response)
    return Deferred(provider_reference=promised)


def check(account: DarajaAccount, callback_url: str) -> Flow:
    """Log in, and have payments from handsets reported to the account's callback URL; once it is, it stays so."""
    response = yield post_json(
        spec.REGISTER,
        {
            "ShortCode": account.shortcode,
            "ResponseType": "Completed",
            "ConfirmationURL": f"{callback_url}?{spec.CONFIRMATION}",
            "ValidationURL": f"{callback_url}?{spec.VALIDATION}",
        },
    )
    said = wire.answer(response)
    if wire.is_error(said, spec.REGISTERED):
        return Succeeded()
    return wire.refusal(said, response.status) or Succeeded()


def _ask_about_push(operation: Operation, checkout: str, account: DarajaAccount) -> Flow:
    """The answer has neither receipt nor amount: of a success, those that a callback claims for this very push count."""
    body = {**_password(account, operation.sent_at), "CheckoutRequestID": checkout}
    response = yield post_json(spec.PUSH_QUERY, body)
    said = wire.answer(response)
    if said.error_code == spec.BUSY:
        return Pending(provider_code=spec.BUSY)
    if said.error_code is not None or said.result_code is None:
        return _about_the_query(wire.refusal(said, response.status), response)
    if said.checkout not in (None, checkout):
        return Ambiguous(detail="the answer is about another push")
    claimed = operation.claim if operation.provider_reference == checkout else None
    success = claimed if isinstance(claimed, Succeeded) else Succeeded()
    return wire.pushed(said.result_code, said.result_words, success)


def _about_the_query(refused: Outcome | None, response: HttpResponse) -> Outcome:
    """An error of a query says nothing about its target."""
    known = isinstance(refused, Throttled | Ambiguous)
    return refused if known else Ambiguous(detail=wire.answer(response).error_code or f"HTTP {response.status}")


def _status_names(target: Operation, name: str | None) -> dict[str, str]:
    """By what a transaction's status is asked: its receipt, or the originator's id of its request."""
    if name is not None and wire.receipt_of(name):
        return {"TransactionID": name}
    originator = target.reference if target.verb is Verb.PAYOUT else (name or "").partition("/")[0]
    return {"OriginalConversationID": originator} if originator else {}


def _password(account: DarajaAccount, at: datetime) -> dict[str, str]:
    """The password of a moment, and the moment, in Nairobi."""
    timestamp = at.astimezone(spec.TIME_ZONE).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{account.shortcode}{account.passkey}{timestamp}".encode()).decode()
    return {"BusinessShortCode": account.shortcode, "Password": password, "Timestamp": timestamp}


def _credential(account: DarajaAccount) -> str | None:
    """The initiator's password under Safaricom's key, or None where the account has no usable initiator."""
    if account.initiator_name is None or account.initiator_password is None or account.certificate is None:
        return None
    return security_credential(account.certificate, account.initiator_password)


@lru_cache(maxsize=1024)
def security_credential(certificate: str, password: str) -> str | None:
    """RSA with PKCS #1 v1.5 padding, which is random: kept, so that the same operation is the same bytes again."""
    try:
        key = load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError:
        return None
    return (
        base64.b64encode(key.encrypt(password.encode(), PKCS1v15())).decode() if isinstance(key, RSAPublicKey) else None
    )


def _answered_at(operation: Operation, result: str, late: str) -> dict[str, str]:
    """Where the answer is to arrive, and the news that there was none in time; and the remarks, which all three have."""
    return {
        "Remarks": (operation.description or operation.reference)[: spec.REMARKS_LENGTH],
        "ResultURL": f"{operation.callback_url}?{result}",
        "QueueTimeOutURL": f"{operation.callback_url}?{late}",
    }


def _shillings(operation: Operation) -> int:
    """The amount in whole shillings; others do not reach an account of this provider (`whole_units`)."""
    whole, rest = divmod(operation.amount, 10 ** exponent(operation.currency))
    assert rest == 0, "Daraja takes whole shillings only"
    return whole


def _msisdn(operation: Operation) -> str:
    """The wallet's number as Daraja writes it: "254708374149"."""
    assert isinstance(operation.method, MobileMoney)
    return operation.method.phone.removeprefix("+")
