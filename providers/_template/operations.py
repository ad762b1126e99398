"""What is asked of Template Pay: charge and query, by our reference."""

from providers._template import spec, wire
from providers._template.spec import TemplatePayAccount
from providers.contract import (
    Ambiguous,
    Credentials,
    Declined,
    Flow,
    HttpResponse,
    Login,
    MobileMoney,
    Operation,
    Outcome,
    Secret,
    asked,
)
from providers.http import get, post_json
from providers.money import to_major


def authenticate(settings: TemplatePayAccount) -> Login:
    """The API key, as a bearer token."""
    yield from ()
    return Credentials(headers={"authorization": Secret(f"Bearer {settings.api_key}")})


def charge(operation: Operation, account: TemplatePayAccount) -> Flow:
    """Ask the payer's wallet for the money."""
    assert isinstance(operation.method, MobileMoney)
    body = {
        "reference": operation.reference,
        "amount": to_major(operation.amount, operation.currency),
        "currency": operation.currency,
        "phone": operation.method.phone,
        "callbackUrl": operation.callback_url,
    }
    response = yield post_json(spec.CHARGE_PATH, body)
    if code := spec.REFUSALS.get(response.status):
        return Declined(code=code, provider_code=str(response.status))
    return _stated(response, operation)


def query(operation: Operation, account: TemplatePayAccount) -> Flow:
    """Ask how the payment stands. An error of the query says nothing about it."""
    charge = asked(operation)
    response = yield get(spec.STATUS_PATH, {"reference": charge.reference})
    return _stated(response, charge)


def _stated(response: HttpResponse, charge: Operation) -> Outcome:
    if response.status != 200:
        return Ambiguous(detail=f"HTTP {response.status}")
    said = wire.payment(response.content)
    if said.reference != charge.reference:
        return Ambiguous(detail="the answer is about another payment")
    return wire.outcome(said)
