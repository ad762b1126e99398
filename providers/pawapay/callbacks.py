"""pawaPay's callbacks: one transaction each, signed as HTTP Message Signatures where the dashboard says so."""

from providers.contract import CallbackRequest, CallbackSpec, CallbackUnreadable, Notice
from providers.http import read_callback
from providers.message_signatures import HEADERS, verify_message
from providers.pawapay import wire
from providers.pawapay.spec import PawaPayAccount


def verify(request: CallbackRequest, account: PawaPayAccount) -> None:
    """Signed by pawaPay, for this account's address."""
    verify_message(request, account.public_key)


def parse(request: CallbackRequest) -> list[Notice]:
    """The deposit, payout or refund as it stood when the callback was made."""
    said = read_callback(wire.decode, request.body)
    if said.name is None:
        raise CallbackUnreadable("no depositId, payoutId or refundId")
    return [Notice(outcome=wire.outcome(said), reference=said.name, provider_reference=said.provider_transaction_id)]


def of_account(account: PawaPayAccount) -> CallbackSpec:
    """Proof where the account requires signatures; else a reason to ask."""
    return CallbackSpec(parse=parse, headers=HEADERS, verify=verify if account.signing == "required" else None)
