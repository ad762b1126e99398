"""Which account takes a payment, and why each other does not. Pure, over what the providers' specs declare."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from gateway.routing.rules import NO_RULES, Rules, preferred
from providers.contract import ProviderSpec, Verb
from providers.registry import PROVIDERS


class Reason(StrEnum):
    """Why an account cannot take a payment."""

    DISABLED = "disabled"
    MODE = "mode"
    CURRENCY = "currency"
    COUNTRY = "country"
    METHOD = "method"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    AMOUNT_NOT_REPRESENTABLE = "amount_not_representable"


class Candidate(Protocol):
    """What routing needs to know of an account."""

    @property
    def id(self) -> UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def livemode(self) -> bool: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def priority(self) -> int: ...
    @property
    def countries(self) -> Sequence[str] | None: ...  # None: all of its provider's
    @property
    def currencies(self) -> Sequence[str] | None: ...


class Wanted(Struct, frozen=True, kw_only=True):
    """The payment to be routed. `account` and `provider` are the merchant's own choice, where he made one."""

    livemode: bool
    amount: int
    currency: str
    country: str | None
    method: str
    verb: Verb
    account: UUID | None = None
    provider: str | None = None
    minor_per_unit: int = 100


class Considered(Struct, frozen=True):
    """An account that was looked at and not chosen; `reason` is null for one that would have done as well."""

    account: UUID
    provider: str
    reason: Reason | None


class Applied(Struct, frozen=True):
    """The rule that put the accounts in order: its number, from 1, in this version of the merchant's rules."""

    version: int
    rule: int


class Route(Struct, frozen=True):
    """The chosen account, if any, what became of the others, and the rule that ordered them, if one did."""

    account: UUID | None
    considered: tuple[Considered, ...]
    applied: Applied | None = None


def choose(wanted: Wanted, accounts: Sequence[Candidate], rules: Rules = NO_RULES) -> Route:
    """Among the accounts (the merchant's, by priority) the first that fits, in the order of the first rule that holds.

    A rule only prefers: it makes no account take what it cannot take, and refuses none that can.
    """
    applied, names = preferred(rules, wanted)
    place = {account: index for index, account in enumerate(names)}
    in_order = sorted(accounts, key=lambda each: place.get(each.id, len(place)))  # stable: the others keep theirs
    eligible = [each for each in in_order if _is_meant(wanted, each)]
    verdicts = [(each, unfit(wanted, each, PROVIDERS.get(each.provider))) for each in eligible]
    chosen = next((each.id for each, reason in verdicts if reason is None), None)
    others = (Considered(each.id, each.provider, reason) for each, reason in verdicts if each.id != chosen)
    return Route(chosen, tuple(others), None if applied is None else Applied(rules.version, applied))


def _is_meant(wanted: Wanted, account: Candidate) -> bool:
    return wanted.account in (None, account.id) and wanted.provider in (None, account.provider)


def unfit(wanted: Wanted, account: Candidate, spec: ProviderSpec | None) -> Reason | None:
    """Why this account cannot take the payment; None when it can."""
    if not account.enabled or spec is None:
        return Reason.DISABLED
    if account.livemode != wanted.livemode:
        return Reason.MODE
    if wanted.currency not in (account.currencies or spec.currencies):
        return Reason.CURRENCY
    if wanted.country is not None and wanted.country not in (account.countries or spec.countries):
        return Reason.COUNTRY
    if wanted.method not in spec.methods or wanted.verb not in spec.verbs:
        return Reason.METHOD
    return _unfit_amount(wanted, spec)


def _unfit_amount(wanted: Wanted, spec: ProviderSpec) -> Reason | None:
    limit = spec.limits.get(wanted.currency)
    if limit is not None and not limit.min <= wanted.amount <= limit.max:
        return Reason.AMOUNT_OUT_OF_RANGE
    if wanted.currency in spec.whole_units and wanted.amount % wanted.minor_per_unit:
        return Reason.AMOUNT_NOT_REPRESENTABLE
    return None
