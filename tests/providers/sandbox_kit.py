"""What the sandbox's tests share."""

from providers.contract import CallbackRequest, Declined, Succeeded
from providers.registry import PROVIDERS

SPEC = PROVIDERS["sandbox"]


def received(request, *, at):
    """A callback as the gateway stores it."""
    headers = {name: value for name, value in request.headers.items() if name in SPEC.callback.headers}
    return CallbackRequest(method="POST", query="", headers=headers, body=request.content, received_at=at)


def succeeded(op, added=0):
    return Succeeded(provider_reference=f"ch_{op.reference}", amount=op.amount + added, currency=op.currency)


def declined(op, code, word):
    return Declined(code=code, provider_code=word, provider_reference=f"ch_{op.reference}")
