"""Proofs about callbacks: what they say is what a query says, and what is not the provider's is refused."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from msgspec.structs import asdict, replace

from providers.conformance.cases import SENT_AT, CallbackCase, Signing, about, stored
from providers.conformance.documents import DOCUMENTS, damaged, reshaped, with_more_members, with_unheard_word
from providers.conformance.suite import ENDS, Check, Subject, require
from providers.contract import (
    CallbackRequest,
    CallbackUnreadable,
    Declined,
    Notice,
    Outcome,
    Secret,
    SignatureInvalid,
    Verb,
)

LONG_AGO: Final = timedelta(hours=1)
MALFORMED: Final = ("", " ", "\u20ac\u00e9", "v1", "v1,", ",", "a" * 20_000, "v1,x " * 1000, "-1", "1e9", "1.5", "\x00")


def _parse(of: Subject, case: CallbackCase, body: bytes | None = None) -> list[Notice]:
    assert of.spec.callback is not None
    request = stored(case if body is None else replace(case, body=body), {}, SENT_AT)
    return of.spec.callback.of(of.account(case)).parse(request)


def callbacks_mean_what_the_documents_say(of: Subject) -> Iterator[Check]:
    """Each recorded callback gives the notices that its case states, the same ones whenever it comes again, whatever
    members are added to it."""
    if of.spec.callback is not None:
        yield Check("there are cases", partial(require, of.cases.callbacks, "CASES.callbacks is empty"))
    for case in of.cases.callbacks:
        yield Check(case.says, partial(_is_read, of, case))


def _is_read(of: Subject, case: CallbackCase) -> None:
    for body in (case.body, case.body, with_more_members(case.body) or case.body):
        notices = _parse(of, case, body)
        require(tuple(notices) == case.expect, f"it is {notices}, not {case.expect}")
    named = [notice.reference or notice.provider_reference for notice in case.expect]
    require(all(named), "a notice names no operation")


def a_callback_that_cannot_be_read_is_refused(of: Subject) -> Iterator[Check]:
    """Bodies that are no callback, broken or strange in any way, are unreadable, or say nothing; nothing else is
    raised."""
    if of.spec.callback is not None and of.cases.callbacks:
        case = of.cases.callbacks[0]
        for number, body in enumerate(of.cases.unreadable):
            yield Check(f"case {number}", partial(_is_unreadable, of, case, body, silent=False))
        for what, body in DOCUMENTS.items():
            yield Check(what, partial(_is_unreadable, of, case, body, silent=True))


def _is_unreadable(of: Subject, case: CallbackCase, body: bytes, *, silent: bool) -> None:
    try:
        notices = _parse(of, case, body)
    except CallbackUnreadable:
        return
    settled = any(isinstance(notice.outcome, ENDS) for notice in notices)
    require(silent and not settled, f"it is read as {notices}")


def a_damaged_callback_never_says_something_else(of: Subject) -> Iterator[Check]:
    """A callback with a word nobody knows, a member missing or of another type, or cut short means what it meant, or
    settles nothing."""
    for case in of.cases.callbacks:
        unheard = with_unheard_word(case.body, case.row) if case.row else None
        if unheard is not None and case.row in of.spec.statuses:
            yield Check(f"{case.says}, unheard of", partial(_settles_nothing, of, case, unheard))
        for what, body in (*damaged(case.body), *reshaped(case.body)):
            yield Check(f"{case.says}, {what}", partial(_is_not_something_else, of, case, body))


def _settles_nothing(of: Subject, case: CallbackCase, body: bytes) -> None:
    outcomes = _outcomes(of, case, body)
    require(not any(isinstance(outcome, ENDS) for outcome in outcomes), f"it is {outcomes}")


def _is_not_something_else(of: Subject, case: CallbackCase, body: bytes) -> None:
    meant = {type(notice.outcome) for notice in case.expect}
    outcomes = _outcomes(of, case, body)
    harmless = all(type(outcome) in meant or not isinstance(outcome, ENDS) for outcome in outcomes)
    require(harmless, f"it is {outcomes}")


def _outcomes(of: Subject, case: CallbackCase, body: bytes) -> list[Outcome]:
    try:
        return [notice.outcome for notice in _parse(of, case, body)]
    except CallbackUnreadable:
        return []


def a_poll_and_a_callback_agree(of: Subject) -> Iterator[Check]:
    """The provider's object gives the same outcome as a query's answer and as a callback, and so does each word."""
    polled = [case for case in of.cases.callbacks if case.poll]
    if of.spec.callback is not None and Verb.QUERY in of.spec.verbs:
        yield Check("there are cases", partial(require, polled, "no case of CASES.callbacks has a poll"))
    for case in polled:
        yield Check(case.says, partial(_agrees, of, case))
    for case in of.cases.callbacks:
        for other in of.cases.answers:
            if case.row is not None and other.row == case.row and other.operation.verb is Verb.QUERY:
                check = partial(_is_alike, case.expect[0].outcome, other.expect)
                yield Check(f"{case.says}, as in {other.says}", check)


def _agrees(of: Subject, case: CallbackCase) -> None:
    query = about(case.about, of.spec.reference)
    outcome = of.exchange(query, case.poll, of.account(case)).outcome
    for notice in case.expect:
        _is_alike(notice.outcome, outcome)
        both = [(asdict(notice.outcome).get(what), asdict(outcome).get(what)) for what in ("amount", "currency")]
        require(all(a == b for a, b in both if None not in (a, b)), f"{notice.outcome} differs from {outcome}")


def _is_alike(told: Outcome, asked_for: Outcome) -> None:
    reasons = [outcome.code for outcome in (told, asked_for) if isinstance(outcome, Declined)]
    require(type(told) is type(asked_for) and len(set(reasons)) <= 1, f"{told} differs from {asked_for}")


# --- Signatures -------------------------------------------------------------------------------------------------------


def an_authentic_callback_is_believed(of: Subject) -> Iterator[Check]:
    """What the provider signed for this account, now, is taken; a provider that signs nothing is never believed
    without a query."""
    if of.spec.callback is None or of.spec.callback.verify is None:
        yield Check("nothing is signed", partial(require, not of.cases.signings, "a signing, and no verify"))
        return
    yield Check("there is a signing", partial(require, of.cases.signings, "CASES.signings is empty"))
    for signing, case in _signed(of):
        yield Check(f"{signing.says}: {case.says}", partial(_is_believed, of, signing, case))


def _is_believed(of: Subject, signing: Signing, case: CallbackCase) -> None:
    request = _authentic(of, signing, case)
    for _ in range(2):  # and again: a stored callback can be verified at any time
        reason = _refused(of, request, signing.account)
        require(reason is None, f"it is refused: {reason}")


def what_is_not_the_providers_is_refused(of: Subject) -> Iterator[Check]:
    """Any single byte of body or signature flipped, a header missing or malformed, another account's signature, an
    empty secret, a signature of long ago or of the future: refused, and nothing else is raised."""
    for signing, case in _signed(of):
        name = f"{signing.says}: {case.says}"
        yield Check(f"{name}, of another account", partial(_is_a_strangers, of, signing, case))
        yield Check(f"{name}, signed with nothing", partial(_is_signed_with_nothing, of, signing, case))
        yield Check(f"{name}, without its headers", partial(_lacks_a_header, of, signing, case))
        yield Check(f"{name}, with malformed headers", partial(_is_malformed, of, signing, case))
        yield Check(f"{name}, a byte of its body flipped", partial(_is_flipped_in_body, of, signing, case))
        yield Check(f"{name}, a byte of a header flipped", partial(_is_flipped_in_header, of, signing, case))
        if signing.dated:
            yield Check(f"{name}, of another time", partial(_is_of_another_time, of, signing, case))


def _signed(of: Subject) -> Iterator[tuple[Signing, CallbackCase]]:
    for signing in of.cases.signings:
        yield from ((signing, case) for case in of.cases.callbacks)


def _authentic(
    of: Subject, signing: Signing, case: CallbackCase, *, account: Any = None, at: datetime = SENT_AT
) -> CallbackRequest:
    return stored(case, signing.sign(case.body, account or signing.account, at), SENT_AT)


def _refused(of: Subject, request: CallbackRequest, account: Any) -> str | None:
    """Why a callback is refused, or None when it is believed."""
    assert of.spec.callback is not None
    verify = of.spec.callback.of(account).verify
    if verify is None:
        return "nothing is signed"
    try:
        verify(request, account)
    except SignatureInvalid as refused:
        return str(refused) or "no reason"
    return None


def _must_refuse(of: Subject, request: CallbackRequest, account: Any, what: str) -> None:
    require(_refused(of, request, account) is not None, f"{what}: it is believed")


def _is_a_strangers(of: Subject, signing: Signing, case: CallbackCase) -> None:
    theirs = _authentic(of, signing, case, account=signing.stranger)
    _must_refuse(of, theirs, signing.account, "signed for another account")
    _must_refuse(of, _authentic(of, signing, case), signing.stranger, "ours, at another account")


def _is_signed_with_nothing(of: Subject, signing: Signing, case: CallbackCase) -> None:
    """With every secret by which the two accounts differ empty, nothing may be believed."""
    ours, theirs = asdict(signing.account), asdict(signing.stranger)
    blank = {name: Secret("") for name, value in ours.items() if isinstance(value, Secret) and value != theirs[name]}
    if blank:
        empty = replace(signing.account, **blank)
        _must_refuse(of, _authentic(of, signing, case), empty, "an account without a secret")


def _with(request: CallbackRequest, headers: Mapping[str, str]) -> CallbackRequest:
    return replace(request, headers={**request.headers, **headers})


def _own_headers(of: Subject, signing: Signing, case: CallbackCase) -> Mapping[str, str]:
    return signing.sign(case.body, signing.account, SENT_AT)


def _lacks_a_header(of: Subject, signing: Signing, case: CallbackCase) -> None:
    request = _authentic(of, signing, case)
    for name in _own_headers(of, signing, case):
        rest = {other: value for other, value in request.headers.items() if other != name}
        _must_refuse(of, replace(request, headers=rest), signing.account, f"without {name}")
    _must_refuse(of, replace(request, headers={}), signing.account, "without any header")


def _is_malformed(of: Subject, signing: Signing, case: CallbackCase) -> None:
    request = _authentic(of, signing, case)
    for name in _own_headers(of, signing, case):
        for value in MALFORMED:
            _must_refuse(of, _with(request, {name: value}), signing.account, f"{name}: {value[:10]!r}")


def _is_flipped_in_body(of: Subject, signing: Signing, case: CallbackCase) -> None:
    request = _authentic(of, signing, case)
    for place in range(len(case.body)):
        body = bytearray(case.body)
        body[place] ^= 1
        _must_refuse(of, replace(request, body=bytes(body)), signing.account, f"byte {place} of the body")
    _must_refuse(of, replace(request, body=case.body + b" "), signing.account, "a body with a space more")


def _is_flipped_in_header(of: Subject, signing: Signing, case: CallbackCase) -> None:
    request = _authentic(of, signing, case)
    for name, value in _own_headers(of, signing, case).items():
        for place, letter in enumerate(value):
            other = value[:place] + chr(ord(letter) ^ 1) + value[place + 1 :]
            _must_refuse(of, _with(request, {name: other}), signing.account, f"letter {place} of {name}")


def _is_of_another_time(of: Subject, signing: Signing, case: CallbackCase) -> None:
    for what, at in (("an hour old", SENT_AT - LONG_AGO), ("an hour from the future", SENT_AT + LONG_AGO)):
        _must_refuse(of, _authentic(of, signing, case, at=at), signing.account, what)
