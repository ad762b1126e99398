"""A request that is good, as what accepting it will write: the same for payments and payouts."""

from typing import Final

from msgspec import Struct

from gateway.payments import rules
from gateway.payments.model import Customer, Details, Kind
from gateway.payments.requests import CreatePayment, CreatePayout
from gateway.routing.choose import Wanted

EXPIRES_IN_S: Final = 3600


class Draft(Struct, frozen=True, kw_only=True):
    """A payment or payout before it has an account. `expires_in_s` is None where it never expires."""

    kind: Kind
    wanted: Wanted
    phone: str | None
    reference: str | None
    details: Details
    expires_in_s: int | None


def payment(request: CreatePayment, livemode: bool) -> Draft:
    """Check the request. Raises 400, and 404 for an account's id that is none."""
    checked = rules.check(request, livemode)
    return Draft(
        kind=Kind.PAYMENT,
        wanted=rules.wanted(request, livemode, checked.country),
        phone=checked.phone,
        reference=request.reference,
        details=Details(
            method=checked.method,
            capture=request.capture,
            description=request.description,
            customer=request.customer.record() if request.customer else Customer(),
            metadata=request.metadata or {},
            return_url=request.return_url,
        ),
        expires_in_s=request.expires_in or EXPIRES_IN_S,
    )


def payout(request: CreatePayout, livemode: bool) -> Draft:
    """Check the request. Raises 400, and 404 for an account's id that is none."""
    checked = rules.check_payout(request, livemode)
    return Draft(
        kind=Kind.PAYOUT,
        wanted=rules.payout_wanted(request, livemode, checked.country),
        phone=checked.phone,
        reference=request.reference,
        details=Details(
            method=checked.method,
            payee=request.destination.name,
            description=request.description,
            metadata=request.metadata or {},
        ),
        expires_in_s=None,
    )
