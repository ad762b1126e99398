"""A merchant's routing rules: which accounts are preferred for which payments. Pure."""

from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct


class Facts(Protocol):
    """What a rule can ask about a payment."""

    @property
    def amount(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def country(self) -> str | None: ...
    @property
    def method(self) -> str: ...


class Condition(Struct, frozen=True, kw_only=True):
    """What must hold of a payment, all of it; None: anything. The bounds of the amount (minor units) are included."""

    currency: tuple[str, ...] | None = None
    country: tuple[str, ...] | None = None
    method: tuple[str, ...] | None = None
    amount_min: int | None = None
    amount_max: int | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """The accounts that are preferred, the first most, for payments of which `when` holds."""

    when: Condition = Condition()
    accounts: tuple[UUID, ...]


class Rules(Struct, frozen=True, kw_only=True):
    """One version of a merchant's rules for one mode. The first that holds decides. Version 0: there never were any."""

    version: int
    rules: tuple[Rule, ...]


NO_RULES: Final = Rules(version=0, rules=())


def preferred(rules: Rules, payment: Facts) -> tuple[int | None, tuple[UUID, ...]]:
    """The number of the first rule that holds, from 1, and its accounts; (None, ()) when none does."""
    for number, rule in enumerate(rules.rules, 1):
        if holds(rule.when, payment):
            return number, rule.accounts
    return None, ()


def holds(when: Condition, payment: Facts) -> bool:
    """Whether the payment is one of those that the condition describes. A payment without a country is of none."""
    named = (
        (when.currency, payment.currency),
        (when.country, payment.country),
        (when.method, payment.method),
    )
    if any(wanted is not None and found not in wanted for wanted, found in named):
        return False
    above = when.amount_min is None or payment.amount >= when.amount_min
    return above and (when.amount_max is None or payment.amount <= when.amount_max)
