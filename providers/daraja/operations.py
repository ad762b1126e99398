"""What is asked of Daraja: a push to the payer's handset, payout, reversal, and how they stand.

Only a push can be asked about directly. Everything else is answered later, by callback: there an acknowledgement is
Pending (or Deferred, of a query), under the name of the conversation that the answer will quote.
"""

import base64
from datetime import datetime
from functools import lru_cache
from typing import Final

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
from providers.encryption import public_key_of, rsa_encrypted
from providers.http import post_json

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
        path=spec.LOGIN_PATH,
        query={"grant_type": "client_credentials"},
        headers={"authorization": Secret(f"Basic {basic}")},
        authenticated=False,
    )
    if response.status in (400, 401):
        raise LoginRefused(wire.answer(response).code or str(response.status))
    token = wire.token(response.content)
    return Credentials(headers={"authorization": Secret(f"Bearer {token.access_token}")}, ttl_s=float(token.expires_in))


def login_expired(response: HttpResponse) -> bool:
    """Whether the token was refused, before anything else was looked at."""
    return wire.answer(response).code in spec.TOKEN_ERRORS


def charge(operation: Operation, account: DarajaAccount) -> Flow:
    """Prompt the payer."""
    body = {
        **_password(account, operation.sent_at),
        "TransactionType": spec.TRANSACTION_TYPES[account.transaction_type],
        "Amount": _shillings(operation),
        "PartyA": _msisdn(operation),
        "PartyB": account.party_b or account.shortcode,
        "PhoneNumber": _msisdn(operation),
        "CallBackURL": operation.callback_url,
        "AccountReference": operation.reference,
        "TransactionDesc": (operation.description or operation.reference)[: spec.DESCRIPTION_LENGTH],
    }
    response = yield post_json(spec.PUSH_PATH, body)
    said = wire.answer(response)
    return wire.refusal(said, response.status) or Pending(provider_reference=said.CheckoutRequestID)


def payout(operation: Operation, account: DarajaAccount) -> Flow:
    """Pay a wallet; the operation's reference is the OriginatorConversationID."""
    credential = _credential(account)
    if credential is None:
        return NO_INITIATOR
    body = {
        "OriginatorConversationID": operation.reference,
        "InitiatorName": account.initiator_name,
        "SecurityCredential": credential,
        "CommandID": "BusinessPayment",
        "Amount": _shillings(operation),
        "PartyA": account.shortcode,
        "PartyB": _msisdn(operation),
        **_answered_at(operation, spec.PAID_OUT),
        "Occassion": "",
    }
    return _acknowledged((yield post_json(spec.PAYOUT_PATH, body)))


def refund(operation: Operation, account: DarajaAccount) -> Flow:
    """Reverse a payment, whole, by its receipt number."""
    credential = _credential(account)
    receipt = wire.receipt_of(operation.target.provider_reference) if operation.target is not None else None
    if credential is None or receipt is None:
        return NO_INITIATOR if credential is None else NO_RECEIPT
    body = {
        "Initiator": account.initiator_name,
        "SecurityCredential": credential,
        "CommandID": "TransactionReversal",
        "TransactionID": receipt,
        "Amount": _shillings(operation),
        "ReceiverParty": account.shortcode,
        "RecieverIdentifierType": "11",
        **_answered_at(operation, spec.REVERSED),
        "Occasion": "",
    }
    return _acknowledged((yield post_json(spec.REVERSAL_PATH, body)))


def query(operation: Operation, account: DarajaAccount) -> Flow:
    """Ask by the name that we know of the target; or by the receipt that a callback told us, where it told one."""
    target, told = asked(operation), operation.provider_reference
    known = target.provider_reference
    name = told if known is None or (wire.receipt_of(told) and _credential(account)) else known
    if target.verb is Verb.CHARGE and name is not None and wire.receipt_of(name) is None:
        outcome = yield from _push_query(operation, name, account)
    else:
        outcome = yield from _status_query(operation, _named(target, name), account)
    return outcome


def check(account: DarajaAccount, callback_url: str) -> Flow:
    """Log in, and have payments from handsets reported to the account's callback URL."""
    body = {
        "ShortCode": account.shortcode,
        "ResponseType": "Completed",
        "ConfirmationURL": f"{callback_url}?{spec.CONFIRMATION}",
        "ValidationURL": f"{callback_url}?{spec.VALIDATION}",
    }
    response = yield post_json(spec.REGISTER_PATH, body)
    said = wire.answer(response)
    if said.code == spec.INTERNAL and spec.REGISTERED in (said.message or "").lower():
        return Succeeded()
    return wire.refusal(said, response.status) or Succeeded()


def _push_query(operation: Operation, checkout: str, account: DarajaAccount) -> Flow:
    """Its answer has neither receipt nor amount: a success has those that a callback claims for this very push."""
    body = {**_password(account, operation.sent_at), "CheckoutRequestID": checkout}
    response = yield post_json(spec.PUSH_QUERY_PATH, body)
    said = wire.answer(response)
    if said.code == spec.BUSY and spec.PROCESSING in (said.message or "").lower():
        return Pending(provider_code=spec.BUSY)
    if said.ResultCode is None or said.CheckoutRequestID not in (None, checkout):
        return _not_about_the_target(said, response)
    claimed = operation.claim if operation.provider_reference == checkout else None
    return wire.pushed(said, claimed if isinstance(claimed, Succeeded) else Succeeded())


def _status_query(operation: Operation, named: dict[str, str], account: DarajaAccount) -> Flow:
    """Its answer comes later."""
    credential = _credential(account)
    if credential is None or not named:
        return Ambiguous(detail="nothing to ask by" if credential else "no initiator to ask as")
    body = {
        "Initiator": account.initiator_name,
        "SecurityCredential": credential,
        "CommandID": "TransactionStatusQuery",
        **named,
        "PartyA": account.shortcode,
        "IdentifierType": "2" if account.transaction_type == "till" else "4",
        **_answered_at(operation, spec.STATUS),
        "Occasion": "",
    }
    response = yield post_json(spec.STATUS_PATH, body)
    said = wire.answer(response)
    name = wire.conversation(said)
    if name is None or wire.refusal(said, response.status):
        return _not_about_the_target(said, response)
    return Deferred(provider_reference=name)


def _acknowledged(response: HttpResponse) -> Outcome:
    """Accepted, under the name that the result will quote; or not."""
    said = wire.answer(response)
    return wire.refusal(said, response.status) or Pending(provider_reference=wire.conversation(said))


def _not_about_the_target(said: wire.Answer, response: HttpResponse) -> Outcome:
    """An error of a query says nothing about what was asked about."""
    if said.code in spec.THROTTLES:
        return Throttled(provider_code=said.code)
    return Ambiguous(detail=said.code or f"HTTP {response.status}, and not what was asked")


def _named(target: Operation, name: str | None) -> dict[str, str]:
    """By what the status of a transaction is asked: its receipt, or the originator's id of its request."""
    if wire.receipt_of(name) and name:
        return {"TransactionID": name}
    originator = target.reference if target.verb is Verb.PAYOUT else (name or "").partition("/")[0]
    return {"OriginalConversationID": originator} if originator else {}


def _password(account: DarajaAccount, at: datetime) -> dict[str, str]:
    """The password of a moment, and the moment, in Nairobi."""
    timestamp = at.astimezone(spec.TIME_ZONE).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{account.shortcode}{account.passkey}{timestamp}".encode()).decode()
    return {"BusinessShortCode": account.shortcode, "Password": password, "Timestamp": timestamp}


def _credential(account: DarajaAccount) -> str | None:
    """The initiator's password under Safaricom's key; None where the account has no usable initiator."""
    if account.initiator_name is None or account.initiator_password is None or account.certificate is None:
        return None
    return security_credential(account.certificate, account.initiator_password)


@lru_cache(maxsize=1024)
def security_credential(certificate: str, password: str) -> str | None:
    """RSA with PKCS #1 v1.5 padding, which is random: kept, so that the same operation is the same bytes again."""
    try:
        return rsa_encrypted(password, public_key_of(certificate))
    except ValueError:
        return None


def _answered_at(operation: Operation, about: str) -> dict[str, str]:
    """Where the answer is to come, and the news that there was none in time; and a remark."""
    return {
        "Remarks": (operation.description or operation.reference)[: spec.REMARKS_LENGTH],
        "ResultURL": f"{operation.callback_url}?{about}",
        "QueueTimeOutURL": f"{operation.callback_url}?{about}{spec.LATE}",
    }


def _shillings(operation: Operation) -> int:
    """The amount; one that is not whole does not get this far (`whole_units`)."""
    whole, cents = divmod(operation.amount, 100)
    assert cents == 0, "Daraja takes whole shillings only"
    return whole


def _msisdn(operation: Operation) -> str:
    """The wallet's number as Daraja writes it: "254708374149"."""
    assert isinstance(operation.method, MobileMoney)
    return operation.method.phone.removeprefix("+")
