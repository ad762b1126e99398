"""What is asked of the sandbox: every verb there is. All are alike, but for where they are sent and what they name.

And whether it accepts an account's key.
"""

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
    Succeeded,
    asked,
)
from providers.http import get, post_json
from providers.sandbox import spec, wire
from providers.sandbox.spec import SandboxAccount


def authenticate(settings: SandboxAccount) -> Login:
    """The API key, as a bearer token."""
    yield from ()
    return Credentials(headers={"authorization": Secret(f"Bearer {settings.api_key}")})


def check(account: SandboxAccount, callback_url: str) -> Flow:
    """Ask whether the API key is accepted."""
    response = yield get("/v1/account")
    return Succeeded() if response.status == 200 else spec.REFUSALS.get(response.status) or _unread(response)


def begin(operation: Operation, account: SandboxAccount) -> Flow:
    """Charge or authorize the payer, or pay out; the operation's id is the idempotency key."""
    body = {
        **_common(operation),
        "method": operation.method,
        "payee": operation.payee,
        "description": operation.description,
        "return_url": operation.return_url,
    }
    return (yield from _post(operation, body))


def follow(operation: Operation, account: SandboxAccount) -> Flow:
    """Capture or void an authorization, or refund what was taken: `of` names it."""
    target = operation.target
    assert target is not None, "the engine gives what follows a target"
    body = {
        **_common(operation),
        "of": target.provider_reference or target.reference,
        "description": operation.description,
    }
    return (yield from _post(operation, body))


def confirm(operation: Operation, account: SandboxAccount) -> Flow:
    """Pass the payer's code on. A wrong one leaves the charge waiting, until the third."""
    about = asked(operation)
    response = yield post_json(f"{_path(about)}/confirm", {"otp": str(operation.otp)}, _key(operation))
    return spec.REFUSALS.get(response.status) or _stated(response, about)


def query(operation: Operation, account: SandboxAccount) -> Flow:
    """Ask how something stands. Only the sandbox's own "transaction_not_found" counts as absence, not any 404."""
    about = asked(operation)
    response = yield get(_path(about))
    if response.status == 404 and wire.problem(response.content).error == "transaction_not_found":
        return Absent()
    return _stated(response, about)


def _common(operation: Operation) -> dict[str, object]:
    return {
        "reference": operation.reference,
        "payment": operation.payment,
        "amount": operation.amount,
        "currency": operation.currency,
        "callback_url": operation.callback_url,
    }


def _post(operation: Operation, body: dict[str, object]) -> Flow:
    response = yield post_json(f"/v1/{spec.COLLECTIONS[operation.verb]}", body, _key(operation))
    return spec.REFUSALS.get(response.status) or _stated(response, operation)


def _path(about: Operation) -> str:
    return f"/v1/{spec.COLLECTIONS[about.verb]}/{about.reference}"


def _key(operation: Operation) -> dict[str, str]:
    return {"idempotency-key": operation.id}


def _unread(response: HttpResponse) -> Outcome:
    return Ambiguous(detail=f"HTTP {response.status}")


def _stated(response: HttpResponse, about: Operation) -> Outcome:
    if response.status != 200:
        return _unread(response)
    said = wire.transaction(response.content)
    if said.reference != about.reference:
        return Ambiguous(detail="the answer is about something else")
    return wire.outcome(said)
