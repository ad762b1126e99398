"""The bank's callbacks: one payment each, signed where the account has a secret for them."""

from functools import partial
from typing import Final

from providers.contract import CallbackRequest, CallbackSpec, CallbackUnreadable, Notice, SignatureInvalid
from providers.http import read_callback
from providers.signing import verify_body, verify_standard_webhook, verify_timestamped
from providers.standard_bank_pay import spec, wire
from providers.standard_bank_pay.spec import StandardBankPayAccount

STANDARD: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify(request: CallbackRequest, account: StandardBankPayAccount) -> None:
    """Signed with the account's secret, in the account's way."""
    if not account.webhook_secret:
        raise SignatureInvalid("the account has no webhook_secret")
    header, secrets = account.signature_header.lower(), [account.webhook_secret]
    if account.signature_scheme == "standard_webhooks":
        verify_standard_webhook(request, secrets)
    elif account.signature_scheme == "timestamped":
        verify_timestamped(request, header, secrets)
    else:
        verify_body(request, header, secrets)


def parse(request: CallbackRequest, account: StandardBankPayAccount = spec.USUAL) -> list[Notice]:
    """What the bank says of a payment; the address that it came to tells of which."""
    said = read_callback(lambda body: wire.read(wire.decode(body), account, "callback_"), request.body)
    if said.reference is None:
        raise CallbackUnreadable("no reference")
    return [Notice(outcome=wire.outcome(said, account), provider_reference=said.reference)]


def of_account(account: StandardBankPayAccount) -> CallbackSpec:
    """In the account's words, and proof only where it has a secret."""
    standard = account.signature_scheme == "standard_webhooks"
    return CallbackSpec(
        parse=partial(parse, account=account),
        verify=verify if account.webhook_secret else None,
        headers=STANDARD if standard else (account.signature_header.lower(),),
    )
