"""What a proof is, and how proofs are run over one provider.

A proof is a function from a `Subject` to its checks; its docstring is what the report says. A check is a name and
something to run, which raises `Refuted` with one sentence. Checks are made without running anything, so that the
documentation can count them.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from providers.conformance.cases import Case, Cases
from providers.contract import (
    Authorized,
    Declined,
    HttpRequest,
    HttpResponse,
    Operation,
    Outcome,
    ProviderSpec,
    Reversed,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.http import UNREADABLE
from providers.redaction import secrets_of
from providers.registry import PROVIDERS

ENDS: Final = (Succeeded, Authorized, Declined, Reversed)  # what settles an operation
REQUESTS: Final = 10  # more than any flow makes


class Refuted(Exception):
    """A check that does not hold; one sentence."""


class Check(NamedTuple):
    """One thing that is tried."""

    says: str
    run: Callable[[], Awaitable[None] | None]


class Subject(Struct, frozen=True, dict=True):
    """A provider, its cases, and what can be asked of both without any I/O."""

    spec: ProviderSpec
    cases: Cases

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.spec.name

    @property
    def folder(self) -> Path:
        """Where the provider is written."""
        return Path(str(import_module(f"providers.{self.name}").__file__)).parent

    @cached_property
    def tables(self) -> Mapping[str, Mapping[str, object]]:
        """Every table of words: the spec's two, and those in `spec.py` whose values are outcomes or decline codes."""
        module = vars(import_module(f"providers.{self.name}.spec"))
        found = {name: table for name, table in module.items() if isinstance(table, Mapping) and _of_words(table)}
        named = {**found, "SPEC.statuses": self.spec.statuses, "SPEC.declines": self.spec.declines}
        return {name: {str(word): means for word, means in table.items()} for name, table in named.items()}

    @cached_property
    def by_verb(self) -> Mapping[Verb, Case]:
        """Of each verb, the case with the most requests."""
        longest: dict[Verb, Case] = {}
        for case in self.cases.answers:
            known = longest.get(case.operation.verb)
            if known is None or len(case.answers) > len(known.answers):
                longest[case.operation.verb] = case
        return longest

    def account(self, case: Any) -> Any:
        """The settings that a case, a callback or a scenario is for."""
        return case.account or self.cases.account

    def settings(self) -> Iterator[Struct]:
        """Every account of the cases."""
        yield self.cases.account
        yield from (case.account for case in self.cases.answers if case.account)
        yield from (account for signing in self.cases.signings for account in (signing.account, signing.stranger))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret of every account of the cases."""
        return tuple({secret for account in self.settings() for secret in secrets_of(account)})

    def exchange(self, operation: Operation, answers: Sequence[HttpResponse], account: Any) -> "Exchange":
        """Perform a flow with the given answers, the last of them again and again."""
        flow = self.spec.verbs[operation.verb].flow(operation, account)
        requests: list[HttpRequest] = []
        try:
            requests.append(next(flow))
            while len(requests) < REQUESTS:
                requests.append(flow.send(answers[min(len(requests), len(answers)) - 1]))
        except StopIteration as end:
            outcome: Outcome = end.value
            return Exchange(tuple(requests), outcome)
        except UNREADABLE as error:  # the transport's part: an answer that cannot be read is Unknown
            return Exchange(tuple(requests), Unknown(detail=type(error).__name__))
        raise Refuted(f"the flow makes {REQUESTS} requests and does not end")

    def heard(self, case: Case, *, last: HttpResponse | None = None) -> Outcome:
        """The outcome of a case, with another last answer perhaps."""
        answers = case.answers if last is None else (*case.answers[:-1], last)
        return self.exchange(case.operation, answers, self.account(case)).outcome


class Exchange(NamedTuple):
    """The requests that a flow made, and its outcome."""

    requests: tuple[HttpRequest, ...]
    outcome: Outcome


Proof = Callable[[Subject], Iterable[Check]]


class Result(Struct, frozen=True, kw_only=True):
    """What came of a proof: how many checks, and the sentences of those that do not hold."""

    name: str
    says: str
    checks: int
    refuted: tuple[str, ...]


def subject(name: str) -> Subject:
    """A provider of the registry with its cases; `KeyError` when there is none."""
    return Subject(PROVIDERS[name], import_module(f"providers.{name}.cases").CASES)


def require(truth: object, otherwise: str) -> None:
    """Refute, in one sentence."""
    if not truth:
        raise Refuted(otherwise)


def name_of(proof: Proof) -> str:
    """A proof's name: its function's, in words."""
    return str(getattr(proof, "__name__", "")).replace("_", " ")


def says(proof: Proof) -> str:
    """What a proof proves: its docstring, in one line."""
    return " ".join((inspect.getdoc(proof) or "").split())


async def prove(proof: Proof, of: Subject) -> Result:
    """Run every check of a proof. No secret of the cases may be in what was logged meanwhile."""
    checks = list(proof(of))
    with _logged() as lines:
        found = [await _run(check) for check in checks]
    refuted = [sentence for sentence in found if sentence is not None]
    if any(secret in line for line in lines for secret in of.secrets):
        refuted.append("a secret of the account is in the log")
    return Result(name=name_of(proof), says=says(proof), checks=len(checks), refuted=tuple(refuted))


async def _run(check: Check) -> str | None:
    try:
        ran = check.run()
        if ran is not None:
            await ran
    except Refuted as refuted:
        return f"{check.says}: {refuted}"
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an adapter raises is a finding, not the suite's end
        return f"{check.says}: {type(error).__name__}: {error}"
    return None


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What is logged meanwhile, formatted."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)


def _of_words(table: Mapping[object, object]) -> bool:
    words = bool(table) and all(isinstance(word, str | int) for word in table)
    return words and all(_is_meaning(means) for means in table.values())


def _is_meaning(means: object) -> bool:
    if isinstance(means, type):
        return issubclass(means, Outcome.__args__)
    return isinstance(means, (DeclineCode, *Outcome.__args__))
