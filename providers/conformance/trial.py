"""`mypay provider try`: one operation at one address, and the exchange as people may see it. No database, no broker."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from providers.conformance.cases import about, operation
from providers.conformance.played import stage
from providers.conformance.suite import ENDS, Subject
from providers.contract import (
    Card,
    HttpRequest,
    HttpResponse,
    Method,
    MobileMoney,
    Operation,
    Outcome,
    Redirect,
    Secret,
    Verb,
    asked,
)
from providers.money import exponent
from providers.redaction import presentable, secrets_of
from providers.shown import shown_request, shown_response
from providers.transport import Caller

ABOUT_ANOTHER: Final = (Verb.QUERY, Verb.CONFIRM, Verb.CAPTURE, Verb.VOID, Verb.REFUND)
ASK_EVERY_S: Final = 0.5

Show = Callable[[str], None]


class WishImpossible(Exception):
    """What was asked for cannot be tried; one sentence that says what to change."""


class Wish(Struct, frozen=True, kw_only=True):
    """What to try. `amount` is in minor units; `reference` and `provider_reference` name what another verb is about.

    `wait_s`: how long to ask afterwards, until it is settled. Without `base_url` the provider's simulator is started.
    """

    verb: str | None
    amount: int | None = None
    currency: str | None = None
    phone: str | None = None
    token: str | None = None
    otp: str | None = None
    reference: str | None = None
    provider_reference: str | None = None
    base_url: str | None = None
    settings: Mapping[str, Any] = {}
    wait_s: float = 0


async def attempt(of: Subject, wish: Wish, show: Show) -> Outcome:
    """Perform the wish, show each request and answer, masked, and return the last outcome."""
    made = _operation(of, wish)
    async with _place(of, wish) as (url, account, callback_url):
        spec = replace(of.spec, authenticate=lambda settings: watched(of.spec.authenticate(settings), show, ()))
        caller = Caller(spec, account, url)
        try:
            return await _perform(of, wish, made, caller, account, callback_url, show)
        finally:
            await caller.aclose()


async def _perform(
    of: Subject, wish: Wish, made: Operation, caller: Caller, account: Any, callback_url: str, show: Show
) -> Outcome:
    hidden = (*secrets_of(account), *([made.otp] if made.otp else []))

    async def call(one: Operation) -> Outcome:
        flow = watched(of.spec.verbs[one.verb].flow(one, account), show, hidden)
        outcome = presentable(await caller.call(flow, deadline_s=of.spec.deadline_s), hidden)
        show(f"= {outcome}\n")
        return outcome

    made = replace(made, callback_url=callback_url)
    outcome = await call(made)
    until = asyncio.get_running_loop().time() + wish.wait_s
    named = asdict(outcome).get("provider_reference") or made.provider_reference
    query = about(replace(made, provider_reference=named), of.spec.reference, number=secrets.randbits(60))
    while not isinstance(outcome, ENDS) and Verb.QUERY in of.spec.verbs and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(ASK_EVERY_S)
        outcome = await call(query)
    return outcome


def watched(steps: Generator[HttpRequest, HttpResponse, Any], show: Show, hidden: tuple[str, ...]) -> Any:
    """The same flow or login, whose exchanges are shown."""
    try:
        request = next(steps)
        while True:
            show("> " + shown_request(request, hidden).replace("\n", "\n> ") + "\n")
            response = yield request
            show("< " + shown_response(response, hidden).replace("\n", "\n< ") + "\n")
            request = steps.send(response)
    except StopIteration as end:
        return end.value


@asynccontextmanager
async def _place(of: Subject, wish: Wish) -> AsyncIterator[tuple[str, Any, str]]:
    """Where to send, as whom, and where callbacks go: the address of the wish, or a simulator of its own."""
    if wish.base_url is not None:
        members = {**({"base_url": wish.base_url} if _has(of, "base_url") else {}), **wish.settings}
        yield wish.base_url, _account(of, members), "http://127.0.0.1:9/callbacks/none"
        return
    known = {name: value for name, value in asdict(of.cases.account).items() if value is not None}
    account = _account(of, {**known, **wish.settings})
    async with stage(of, account, pace=1) as on:
        yield on.url, account, on.callback_url


def _has(of: Subject, member: str) -> bool:
    return member in of.spec.settings.__struct_fields__


def _account(of: Subject, members: Mapping[str, Any]) -> Struct:
    """The settings of a wish; texts from a command line count as numbers and truths where those are wanted."""
    unknown = sorted(set(members) - set(of.spec.settings.__struct_fields__))
    if unknown:
        raise WishImpossible(f"{of.spec.title} has no setting {unknown[0]}.")
    try:
        return msgspec.convert(dict(members), of.spec.settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except (msgspec.ValidationError, TypeError) as error:
        raise WishImpossible(f"The settings are not {of.spec.title}'s: {error}.") from error


def _operation(of: Subject, wish: Wish) -> Operation:
    """What to perform, under names nobody has used. What the wish leaves open is as in the provider's cases."""
    if wish.verb is None or wish.verb not in of.by_verb:
        raise WishImpossible(f"Say what to try; {of.spec.title} has {', '.join(of.by_verb)}.")
    verb = Verb(wish.verb)
    known = asked(of.by_verb[verb].operation)
    common: dict[str, Any] = {
        "amount": known.amount if wish.amount is None else wish.amount,
        "currency": wish.currency or known.currency,
        "sent_at": datetime.now(UTC),
        "method": _method(of, wish, known),
        "country": known.country,
    }
    _check(of, common["amount"], common["currency"])
    number = secrets.randbits(60)
    if verb not in ABOUT_ANOTHER:
        return operation(of.spec.reference, verb, number=number, **common)
    if wish.reference is None and wish.provider_reference is None:
        raise WishImpossible(f"A {verb} is about another operation: name it with --reference or --provider-reference.")
    target = operation(of.spec.reference, provider_reference=wish.provider_reference, **common)
    named = replace(target, reference=wish.reference or target.reference)
    otp = {"otp": Secret(wish.otp or "")} if verb is Verb.CONFIRM else {}
    return about(named, of.spec.reference, verb, number=number, **otp)


def _check(of: Subject, amount: int, currency: str) -> None:
    """What the gateway refuses before anything is sent."""
    if currency not in of.spec.currencies:
        raise WishImpossible(f"{of.spec.title} does not take {currency}: choose another --currency.")
    limit, unit = of.spec.limits[currency], 10 ** exponent(currency) if currency in of.spec.whole_units else 1
    if not limit.min <= amount <= limit.max or amount % unit:
        whole = f", whole units of {unit} only" if unit > 1 else ""
        raise WishImpossible(f"The --amount is {limit.min} to {limit.max} minor units of {currency}{whole}.")


def _method(of: Subject, wish: Wish, known: Operation) -> Method:
    if wish.phone:
        return MobileMoney(phone=wish.phone)
    if wish.token:
        return Card(token=wish.token)
    if wish.base_url is None or wish.verb in ABOUT_ANOTHER:
        return known.method
    if "redirect" in of.spec.methods:
        return Redirect()
    raise WishImpossible("Say who pays: --phone, such as +26658123456, or --token.")
