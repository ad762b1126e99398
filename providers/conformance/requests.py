"""Proofs about requests: the same operation is the same bytes, names itself, and states its amount exactly."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from providers import references
from providers.conformance.cases import Case
from providers.conformance.documents import numbers
from providers.conformance.suite import Check, Subject, require
from providers.contract import HttpRequest, Operation, Verb, asked
from providers.money import exponent, to_major

MOVES_MONEY: Final = (Verb.CHARGE, Verb.AUTHORIZE, Verb.CAPTURE, Verb.REFUND, Verb.PAYOUT)
AMOUNTS: Final = (1, 9, 10, 99, 100, 101, 105, 1000, 1010, 1999, 10000, 12345, 99999, 100000, 123456789)
OTHER_DECIMALS: Final = ("JPY", "KWD", "EUR")

_OTHER: Final = UUID(int=0x0190_0000_0000_7000_8000_0000_00FF_FF05)


def the_same_operation_is_the_same_bytes(of: Subject) -> Iterator[Check]:
    """Every request of an operation that is performed again is byte for byte the one that was sent before."""
    for verb, case in of.by_verb.items():
        yield Check(verb, partial(_is_repeated, of, case))


def _is_repeated(of: Subject, case: Case) -> None:
    copies = (case.operation, copy.deepcopy(case.operation))
    once, again = (of.exchange(one, case.answers, of.account(case)).requests for one in copies)
    require(once and once == again, "the second time it is not the same")


def a_request_names_its_operation(of: Subject) -> Iterator[Check]:
    """A request carries our reference (or the provider's name) for the operation it is about, its id where that is the
    idempotency key, and differs from any other operation's."""
    for verb, case in of.by_verb.items():
        yield Check(verb, partial(_is_named, of, case))


def _is_named(of: Subject, case: Case) -> None:
    operation, verb = case.operation, of.spec.verbs[case.operation.verb]
    text = _text(of, case, operation)
    about = asked(operation)
    names = [about.reference, about.id, about.provider_reference, *_names_of(about.target)]
    require(any(name and name in text for name in names), "no request carries a name of the operation")
    if operation.verb is not Verb.QUERY and verb.uncertainty.idempotency == "key":
        require(operation.id in text, "the idempotency key is promised, and no request carries operation.id")
    if operation.verb in MOVES_MONEY and verb.uncertainty.idempotency == "reference":
        own = operation.reference in text or operation.id in text
        require(own, "repeating is promised to be harmless by reference, and no request carries operation.reference")
    require(_text(of, case, _another(of, operation)) != text, "another operation makes the same requests")


def _names_of(target: Operation | None) -> tuple[str | None, ...]:
    return () if target is None else (target.reference, target.id, target.provider_reference)


def _another(of: Subject, operation: Operation) -> Operation:
    """An operation like it, with names of its own; of a query, about one with names of its own."""
    reference = references.make(of.spec.reference, _OTHER)
    fresh = replace(operation, id="op_another", reference=reference, payment="pay_another")
    if operation.target is None:
        return fresh
    known = {"provider_reference": "another"} if operation.target.provider_reference else {}
    return replace(fresh, target=replace(_another(of, operation.target), **known))


def _text(of: Subject, case: Case, operation: Operation) -> str:
    return "\n".join(shown(one) for one in of.exchange(operation, case.answers, of.account(case)).requests)


def shown(request: HttpRequest) -> str:
    """A request as one text: path, query, headers and content."""
    lines = [f"{request.method} {request.path}", *(f"{k}={v}" for k, v in request.query.items())]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\n".join([*lines, request.content.decode("utf-8", "replace")])


def amounts_are_exact(of: Subject) -> Iterator[Check]:
    """Every amount, from the smallest to the largest, is stated to the last minor unit, in one notation."""
    for case in of.by_verb.values():
        if case.operation.verb in MOVES_MONEY and of.spec.verbs[case.operation.verb].partial:
            for currency in _currencies(of, case.operation):
                yield Check(f"{case.operation.verb} {currency}", partial(_is_exact, of, case, currency))


def _currencies(of: Subject, operation: Operation) -> list[str]:
    others = [currency for currency in OTHER_DECIMALS if currency in of.spec.currencies]
    return [operation.currency, *(currency for currency in others if currency != operation.currency)]


def _is_exact(of: Subject, case: Case, currency: str) -> None:
    limit, unit = of.spec.limits[currency], 10 ** exponent(currency) if currency in of.spec.whole_units else 1
    tried = sorted({limit.min, limit.max, *(amount for amount in AMOUNTS if limit.min <= amount <= limit.max)})
    whole = [amount for amount in tried if amount % unit == 0]
    stated = {amount: numbers(_text(of, case, _of_amount(case.operation, amount, currency))) for amount in whole}
    minor = all(str(amount) in said for amount, said in stated.items())
    major = all(_spellings(amount, currency) & said for amount, said in stated.items())
    require(minor or major, "an amount is not in the request as minor units, nor as major units, exactly")


def _of_amount(operation: Operation, amount: int, currency: str) -> Operation:
    target = operation.target and replace(operation.target, amount=amount, currency=currency)
    return replace(operation, amount=amount, currency=currency, target=target)


def _spellings(amount: int, currency: str) -> set[str]:
    """Major units with all decimals, and without trailing zeros."""
    full = to_major(amount, currency)
    return {full, full.rstrip("0").rstrip(".") if "." in full else full}
