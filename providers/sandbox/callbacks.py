"""The sandbox's callbacks: signed as Standard Webhooks, about one transaction each."""

from typing import Final

from providers.contract import CallbackRequest, Notice
from providers.http import read_callback
from providers.sandbox import wire
from providers.sandbox.spec import SandboxAccount
from providers.signing import verify_standard_webhook

HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify(request: CallbackRequest, account: SandboxAccount) -> None:
    """Signed by the account's secret, at most five minutes ago (or ahead)."""
    verify_standard_webhook(request, [account.webhook_secret])


def parse(request: CallbackRequest) -> list[Notice]:
    """The transaction as it stood when the callback was made."""
    event = read_callback(wire.event, request.body)
    return [
        Notice(
            outcome=wire.outcome(event.transaction),
            reference=event.transaction.reference,
            provider_reference=event.transaction.id,
            event_id=event.id,
        )
    ]
