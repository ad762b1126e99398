"""What is asked of the sandbox: charge, confirm with an OTP, query."""

from providers.contract import (
    Absent,
    Ambiguous,
    Credentials,
    Flow,
    HttpResponse,
    Login,
    Operation,
    Outcome,
    Secret,
    asked,
)
from providers.http import get, post_json
from providers.sandbox import spec, wire
from providers.sandbox.spec import SandboxAccount


def authenticate(settings: SandboxAccount) -> Login:
    """The API key, as a bearer token."""
    yield from ()
    return Credentials(headers={"authorization": Secret(f"Bearer {settings.api_key}")})


def charge(operation: Operation, account: SandboxAccount) -> Flow:
    """Charge the payer; the operation's id is the idempotency key."""
    body = {
        "reference": operation.reference,
        "payment": operation.payment,
        "amount": operation.amount,
        "currency": operation.currency,
        "method": operation.method,
        "description": operation.description,
        "callback_url": operation.callback_url,
        "return_url": operation.return_url,
    }
    response = yield post_json("/v1/charges", body, _key(operation))
    return spec.REFUSALS.get(response.status) or _stated(response, operation)


def confirm(operation: Operation, account: SandboxAccount) -> Flow:
    """Pass the payer's code on. A wrong one leaves the charge waiting, until the third."""
    charge = asked(operation)
    path = f"/v1/charges/{charge.reference}/confirm"
    response = yield post_json(path, {"otp": str(operation.otp)}, _key(operation))
    return spec.REFUSALS.get(response.status) or _stated(response, charge)


def query(operation: Operation, account: SandboxAccount) -> Flow:
    """Ask how the charge stands. Only the sandbox's own "charge_not_found" counts as absence, not any 404."""
    charge = asked(operation)
    response = yield get(f"/v1/charges/{charge.reference}")
    if response.status == 404 and wire.problem(response.content).error == "charge_not_found":
        return Absent()
    return _stated(response, charge)


def _key(operation: Operation) -> dict[str, str]:
    return {"idempotency-key": operation.id}


def _stated(response: HttpResponse, charge: Operation) -> Outcome:
    if response.status != 200:
        return Ambiguous(detail=f"HTTP {response.status}")
    said = wire.charge(response.content)
    if said.reference != charge.reference:
        return Ambiguous(detail="the answer is about another charge")
    return wire.outcome(said)
