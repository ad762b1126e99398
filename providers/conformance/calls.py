"""Proofs over real sockets: what was not sent is NotSent, and after the first byte nothing is."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from providers.conformance.cases import Case, answer
from providers.conformance.peers import FAULTS, Misbehaviour, closed_port, hangs, serving, writing, written
from providers.conformance.suite import Check, Subject, require
from providers.contract import (
    Credentials,
    Declined,
    HttpResponse,
    LoginRefused,
    NotSent,
    Outcome,
    Unknown,
)
from providers.declines import DeclineCode
from providers.http import UNREADABLE
from providers.transport import Caller, LeaseTooShort

PATIENCE_S: Final = 20.0
SHORT_S: Final = 0.25  # for what never answers
LONGEST_S: Final = 8.0


async def _call(of: Subject, case: Case, url: str, *, deadline_s: float = PATIENCE_S, hook: bool = False) -> Outcome:
    account = of.account(case)
    caller = Caller(of.spec, account, url)
    flow = of.spec.verbs[case.operation.verb].flow(case.operation, account)
    try:
        return await caller.call(flow, deadline_s=deadline_s, before_send=_too_late if hook else None)
    finally:
        await caller.aclose()


def _too_late() -> None:
    raise LeaseTooShort


def before_the_first_byte_nothing_was_sent(of: Subject) -> Iterator[Check]:
    """Nobody listens, no such host, too short a lease, a login that fails: NotSent, of every verb."""
    for verb, case in of.by_verb.items():
        yield Check(f"{verb}: nobody listens", partial(_is_refused_connection, of, case))
        yield Check(f"{verb}: no such host", partial(_is_not_sent, of, case, "http://nowhere.invalid"))
        yield Check(f"{verb}: the lease is too short", partial(_is_stopped_by_the_hook, of, case))
        for what, broken in _BROKEN_LOGINS.items() if of.cases.login else ():
            yield Check(f"{verb}: {what} to the login", partial(_is_not_logged_in, of, case, broken))


_BROKEN_LOGINS: Final[dict[str, Misbehaviour]] = {
    **FAULTS,
    "HTTP 500": writing(written(answer(b"<html>", 500))),
    "HTTP 503 in JSON": writing(written(answer({"error": "x"}, 503))),
    "an HTML page": writing(written(answer(b"<html>"))),
}


async def _is_refused_connection(of: Subject, case: Case) -> None:
    await _is_not_sent(of, case, f"http://127.0.0.1:{closed_port()}")


async def _is_not_sent(of: Subject, case: Case, url: str) -> None:
    outcome = await _call(of, case, url)
    require(isinstance(outcome, NotSent), f"it is {outcome}")


async def _is_stopped_by_the_hook(of: Subject, case: Case) -> None:
    async with serving(of.cases.login, hangs) as (url, peer):
        outcome = await _call(of, case, url, hook=True)
        require(isinstance(outcome, NotSent), f"it is {outcome}")
        require(peer.requests <= len(of.cases.login), "a request arrived")


async def _is_not_logged_in(of: Subject, case: Case, broken: Misbehaviour) -> None:
    async with serving(of.cases.login[:-1], broken) as (url, _):
        outcome = await _call(of, case, url)
    require(isinstance(outcome, NotSent), f"it is {outcome}")


def after_the_first_byte_nothing_is_not_sent(of: Subject) -> Iterator[Check]:
    """A request that was received and gets no answer that can be read, the first or a later one of any verb: Unknown,
    never NotSent, and it is not sent again."""
    for verb, case in of.by_verb.items():
        for place in range(len(case.answers)):
            for what, fault in FAULTS.items():
                says = f"{verb}: {what}, at request {place + 1}"
                yield Check(says, partial(_is_unknown, of, case, case.answers[:place], fault))
        yield Check(f"{verb}: no answer within the deadline", partial(_is_unknown_in_the_end, of, case))


async def _is_unknown(of: Subject, case: Case, before: Sequence[HttpResponse], fault: Misbehaviour) -> None:
    answers = (*of.cases.login, *before)
    async with serving(answers, fault) as (url, peer):
        outcome = await _call(of, case, url)
    require(isinstance(outcome, Unknown), f"it is {outcome}")
    require(peer.requests == len(answers) + 1, f"{peer.requests - len(answers)} requests arrived")


async def _is_unknown_in_the_end(of: Subject, case: Case) -> None:
    """Unknown once the request arrived; a deadline that passes before is NotSent, and tried again with a longer one."""
    deadline_s = SHORT_S
    while deadline_s < LONGEST_S:
        async with serving(of.cases.login, hangs) as (url, peer):
            outcome = await _call(of, case, url, deadline_s=deadline_s)
        if peer.requests > len(of.cases.login):
            require(isinstance(outcome, Unknown), f"it is {outcome}")
            return
        deadline_s *= 2
    raise TimeoutError("no request arrived")


def a_case_means_the_same_over_a_socket(of: Subject) -> Iterator[Check]:
    """Recorded answers over a real connection, logins included, give the outcome of the case."""
    for verb, case in of.by_verb.items():
        yield Check(verb, partial(_is_the_same, of, case))


async def _is_the_same(of: Subject, case: Case) -> None:
    async with serving((*of.cases.login, *case.answers), hangs) as (url, _):
        outcome = await _call(of, case, url)
    require(outcome == case.expect, f"it is {outcome}")


def a_login_is_refused_only_by_the_provider(of: Subject) -> Iterator[Check]:
    """Wrong credentials are the account's configuration, when the provider says so as documented; a login that merely
    fails says nothing about them."""
    yield Check("it logs in", partial(_logs_in, of))
    for number, answers in enumerate(of.cases.refused_logins):
        yield Check(f"refused login {number + 1}", partial(_is_configuration, of, answers))
    for what, broken in {"HTTP 500": answer(b"<html>", 500), "a page": answer(b"<html>"), "nothing": answer()}.items():
        if of.cases.login:
            yield Check(f"{what} to the login", partial(_is_no_refusal, of, broken))


def log_in(of: Subject, answers: Sequence[HttpResponse]) -> Credentials | Exception:
    """What a login comes to with the given answers."""
    steps = of.spec.authenticate(of.cases.account)
    given = iter(answers)
    try:
        next(steps)
        while True:
            steps.send(next(given))
    except StopIteration as end:
        found = end.value
        return found if isinstance(found, Credentials) else AssertionError("more requests than CASES.login has answers")
    except (LoginRefused, *UNREADABLE) as error:
        return error


def _logs_in(of: Subject) -> None:
    found = log_in(of, of.cases.login)
    require(isinstance(found, Credentials), f"it is {found!r}")


async def _is_configuration(of: Subject, answers: Sequence[HttpResponse]) -> None:
    require(isinstance(log_in(of, answers), LoginRefused), "authenticate does not raise LoginRefused")
    case = next(iter(of.by_verb.values()))
    async with serving(answers, hangs) as (url, peer):
        outcome = await _call(of, case, url)
    require(isinstance(outcome, Declined) and outcome.code is DeclineCode.CONFIGURATION, f"it is {outcome}")
    require(peer.requests == len(answers), "a request followed the refused login")


def _is_no_refusal(of: Subject, broken: HttpResponse) -> None:
    found = log_in(of, (*of.cases.login[:-1], broken))
    require(not isinstance(found, LoginRefused | Credentials), f"it is {found!r}")
