"""What is asked of the bank: to begin a payment, and how one stands."""

import base64
from typing import Any
from urllib.parse import quote

import msgspec

from providers.contract import (
    Absent,
    Ambiguous,
    Credentials,
    Declined,
    Flow,
    HttpRequest,
    HttpResponse,
    Login,
    LoginRefused,
    MobileMoney,
    Operation,
    Outcome,
    Secret,
    asked,
)
from providers.declines import DeclineCode
from providers.http import UNREADABLE, get, post_form, post_json
from providers.money import to_major
from providers.standard_bank_pay import spec, wire
from providers.standard_bank_pay.spec import StandardBankPayAccount


def authenticate(settings: StandardBankPayAccount) -> Login:
    """The key as a bearer token, with the client as basic credentials, or what those buy (RFC 6749, section 4.4)."""
    pair = base64.b64encode(f"{settings.client_id}:{settings.api_key}".encode()).decode()
    given, life_s = f"Bearer {settings.api_key}", None
    if settings.authorization == "basic":
        given = f"Basic {pair}"
    elif settings.authorization == "client_credentials":
        path, form = settings.path("token"), {"grant_type": "client_credentials"}
        request = post_form(path, form, {"authorization": Secret(f"Basic {pair}")})
        response = yield msgspec.structs.replace(request, authenticated=False)
        if response.status in (400, 401):
            raise LoginRefused(str(response.status))
        token = wire.token(response.content)
        given, life_s = f"Bearer {token.access_token}", token.expires_in
    return Credentials(headers={"authorization": Secret(given), "x-sbp-client-id": settings.client_id}, ttl_s=life_s)


def charge(operation: Operation, account: StandardBankPayAccount) -> Flow:
    """Begin a payment. The operation's reference is the request's id."""
    headers = {"x-sbp-request-id": operation.reference}
    response = yield post_json(account.path("initiate"), _body(operation, account), headers)
    if response.status in spec.REFUSALS:
        return _refused(response, account)
    if response.status not in (200, 201, 202):
        return Ambiguous(detail=f"HTTP {response.status}")
    return wire.outcome(wire.read(wire.decode(response.content), account), account)


def query(operation: Operation, account: StandardBankPayAccount) -> Flow:
    """Ask how a payment stands, by the bank's name for it; while it told none, by ours, which it may not know."""
    target = asked(operation)
    known = target.provider_reference
    response = yield _status(known or target.reference, account)
    if response.status != 200:
        return Ambiguous(detail=f"HTTP {response.status}")
    said = wire.read(wire.decode(response.content), account)
    if known and said.reference not in (None, known):
        return Ambiguous(detail="the answer is about another payment")
    return wire.outcome(said._replace(reference=said.reference or known), account)


def check(settings: StandardBankPayAccount, callback_url: str) -> Flow:
    """Ask about a payment that does not exist: only wrong credentials are worse than not finding it."""
    response = yield _status("mypay-check", settings)
    if response.status in (401, 403):
        return Declined(code=DeclineCode.CONFIGURATION, provider_code=str(response.status))
    if response.status not in (200, 404):
        return Ambiguous(detail=f"HTTP {response.status}")
    wire.decode(response.content)  # a page that is no JSON is not the bank's
    return Absent()


def _status(reference: str, account: StandardBankPayAccount) -> HttpRequest:
    return get(account.path("status").replace("{reference}", quote(reference, safe="")))


def _body(operation: Operation, account: StandardBankPayAccount) -> dict[str, Any]:
    assert isinstance(operation.method, MobileMoney)
    minor, currency = account.amounts == "minor", operation.currency
    body: dict[str, Any] = {}
    wire.put(body, account.path("request_amount"), operation.amount if minor else to_major(operation.amount, currency))
    wire.put(body, account.path("request_currency"), currency)
    wire.put(body, account.path("request_phone"), operation.method.phone.removeprefix("+"))
    wire.put(body, account.path("request_callback_url"), operation.callback_url)
    wire.put(body, account.path("request_reference"), operation.reference)
    return body


def _refused(response: HttpResponse, account: StandardBankPayAccount) -> Outcome:
    """A refusal by its error's word where that is known, else by the HTTP status."""
    try:
        word = wire.text(wire.decode(response.content), account.path("error"))
    except UNREADABLE:
        word = None
    outcome = wire.outcome(wire.Said(None, word or ""), account)
    if isinstance(outcome, Declined):
        return outcome
    return Declined(code=spec.REFUSALS[response.status], provider_code=str(response.status), provider_message=word)
