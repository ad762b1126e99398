"""pawaPay's callbacks: one transaction each, signed as HTTP Message Signatures where the dashboard says so."""

from typing import Final

import msgspec

from providers.contract import CallbackRequest, CallbackSpec, CallbackUnreadable, Notice, SignatureInvalid
from providers.http import read_callback
from providers.message_signatures import HEADERS, verify_message
from providers.pawapay import wire
from providers.pawapay.spec import PawaPayAccount


def verify(request: CallbackRequest, account: PawaPayAccount) -> None:
    """Signed by pawaPay, for this account's address."""
    if account.public_key is None:
        raise SignatureInvalid("the account has no public_key")
    verify_message(request, account.public_key)


def parse(request: CallbackRequest) -> list[Notice]:
    """The deposit, payout or refund as it stood when the callback was made."""
    said = read_callback(wire.transaction, request.body)
    if said.name is None:
        raise CallbackUnreadable("no depositId, payoutId or refundId")
    return [Notice(outcome=wire.outcome(said), reference=said.name, provider_reference=said.provider_transaction_id)]


def of_account(account: PawaPayAccount) -> CallbackSpec:
    """Proof where the account requires signatures; else a reason to ask."""
    return SIGNED if account.signing == "required" else UNSIGNED


SIGNED: Final = CallbackSpec(parse=parse, verify=verify, headers=HEADERS, for_account=of_account)
UNSIGNED: Final = msgspec.structs.replace(SIGNED, verify=None)
