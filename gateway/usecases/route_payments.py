"""A merchant's routing rules, and what they would do to a payment."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from gateway import ids
from gateway.payments import drafts
from gateway.payments.errors import MyPayError, invalid
from gateway.payments.requests import AMOUNT_MAX, CountryCode, CreatePayment, CurrencyCode
from gateway.payments.views import encode, timestamp
from gateway.routing.choose import Reason, Route, choose
from gateway.routing.rules import NO_RULES, Condition, Rule, Rules
from gateway.services import Services
from gateway.store import routing as store
from gateway.store.database import Connection
from gateway.store.directory import AccountRow
from gateway.store.routing import StoredRules
from gateway.usecases.configure import Asker, Change, Configured, configure
from gateway.usecases.create_payment import chosen

MOST_RULES: Final = 50
MOST_NAMES: Final = 50
Few = Meta(min_length=1, max_length=MOST_NAMES)
Bound = Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="Minor units, included.")]


class RuleCondition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold of a payment, all of it; a member that is left out or null asks nothing."""

    currency: Annotated[list[CurrencyCode], Few] | None = None
    country: Annotated[list[CountryCode], Few] | None = None
    method: Annotated[list[Literal["mobile_money", "card", "redirect"]], Few] | None = None
    amount_min: Bound | None = None
    amount_max: Bound | None = None


class RoutingRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For payments of which `when` holds, `accounts` come first, in this order; all others follow by priority."""

    when: RuleCondition = RuleCondition()
    accounts: Annotated[list[str], Few]


class PutRouting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /v1/routing: all rules, and the version that they replace (0: there were none)."""

    version: Annotated[int, Meta(ge=0, le=2**31 - 2)]
    rules: Annotated[list[RoutingRule], Meta(max_length=MOST_RULES)]


class RoutingObject(Struct, kw_only=True):
    """The rules that count now. The first whose `when` holds puts the accounts in order; the first that fits pays."""

    object: Literal["routing"] = "routing"
    livemode: bool
    version: int
    rules: list[RoutingRule]
    created_at: str | None
    updated_at: str | None


class AppliedRule(Struct, frozen=True):
    """The rule that put the accounts in order: its number, from 1, in this version of the rules."""

    version: int
    rule: int


class ConsideredAccount(Struct, frozen=True):
    """An account that was not chosen; `reason` is null for one that would have done as well."""

    account: str
    provider: str
    reason: Reason | None


class RouteObject(Struct, kw_only=True):
    """What would become of a payment: the account that would take it, the rule that preferred it, and the others."""

    object: Literal["route"] = "route"
    livemode: bool
    account: str
    provider: str
    applied: AppliedRule | None
    considered: list[ConsideredAccount]


async def read(services: Services, merchant_id: UUID, livemode: bool) -> bytes:
    """The rules as the API shows them."""
    async with services.reading() as connection:
        stored = await store.newest(connection, merchant_id, livemode)
    return _shown(stored, livemode)


async def replace(services: Services, asker: Asker, wanted: PutRouting) -> Configured:
    """Put these rules in the place of the version that they name.

    Raises 400, 404 for an account that is not there, and 409 `version_conflict`.
    """
    rules = Rules(version=wanted.version + 1, rules=_read(wanted.rules))
    named = [account for rule in rules.rules for account in rule.accounts]

    async def work(connection: Connection, now: datetime) -> Change:
        if await store.names_strangers(connection, asker.merchant_id, asker.livemode, named):
            raise MyPayError("not_found", "There is no such account.")
        current = await store.newest(connection, asker.merchant_id, asker.livemode)
        version = 0 if current is None else current.rules.version
        if version != wanted.version or not await store.insert(
            connection, asker.merchant_id, asker.livemode, rules, now
        ):
            raise MyPayError("version_conflict")
        return Change(
            action="routing.replace",
            object_id=asker.merchant_id,
            shown_id=ids.show(ids.MERCHANT, asker.merchant_id),
            changes={"version": rules.version, "rules": msgspec.to_builtins(wanted.rules)},
            body=_shown(StoredRules(rules, now), asker.livemode),
        )

    done = await configure(services, asker, work)
    await services.accounts.rules(asker.merchant_id, asker.livemode, fresh=True)
    return done


async def preview(services: Services, merchant_id: UUID, livemode: bool, request: CreatePayment) -> bytes:
    """The route that this payment would take now. Raises what accepting it would: 400, 404, 422 `no_route`."""
    wanted = drafts.payment(request, livemode).wanted
    accounts = await services.accounts.of(merchant_id, livemode, fresh=True)
    route = choose(wanted, accounts, await services.accounts.rules(merchant_id, livemode, fresh=True))
    return _previewed(chosen(route, wanted, accounts), route)


def _previewed(account: AccountRow, route: Route) -> bytes:
    return encode(
        RouteObject(
            livemode=account.livemode,
            account=ids.show(ids.ACCOUNT, account.id),
            provider=account.provider,
            applied=None if route.applied is None else AppliedRule(route.applied.version, route.applied.rule),
            considered=[
                ConsideredAccount(ids.show(ids.ACCOUNT, each.account), each.provider, each.reason)
                for each in route.considered
            ],
        )
    )


def _read(rules: Sequence[RoutingRule]) -> tuple[Rule, ...]:
    return tuple(
        Rule(when=_condition(rule.when, f"/rules/{number}/when"), accounts=_accounts(rule, f"/rules/{number}/accounts"))
        for number, rule in enumerate(rules)
    )


def _condition(when: RuleCondition, pointer: str) -> Condition:
    if when.amount_min is not None and when.amount_max is not None and when.amount_min > when.amount_max:
        raise invalid(f"{pointer}/amount_max", "out_of_range", "This is less than amount_min: no payment would fit.")
    return msgspec.convert(msgspec.structs.asdict(when), Condition)


def _accounts(rule: RoutingRule, pointer: str) -> tuple[UUID, ...]:
    found = [ids.read(ids.ACCOUNT, text) for text in rule.accounts]
    if len(set(found)) < len(found):
        raise invalid(pointer, "duplicate", "An account is named more than once.")
    if None in found:
        raise MyPayError("not_found", "There is no such account.")
    return tuple(account for account in found if account is not None)


def _shown(stored: StoredRules | None, livemode: bool) -> bytes:
    rules = NO_RULES if stored is None else stored.rules
    at = None if stored is None else timestamp(stored.created_at)
    shown = [_shown_rule(rule) for rule in rules.rules]
    return encode(RoutingObject(livemode=livemode, version=rules.version, rules=shown, created_at=at, updated_at=at))


def _shown_rule(rule: Rule) -> RoutingRule:
    when = msgspec.convert(msgspec.structs.asdict(rule.when), RuleCondition)
    return RoutingRule(when=when, accounts=[ids.show(ids.ACCOUNT, each) for each in rule.accounts])
