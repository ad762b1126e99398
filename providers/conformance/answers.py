"""Proofs about answers: what the documents show is understood, and from what nobody documented nothing follows."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from msgspec.structs import replace

from providers.conformance.cases import Case, answer
from providers.conformance.documents import (
    DOCUMENTS,
    carries,
    damaged,
    is_word,
    leaves,
    read,
    reshaped,
    rewritten,
    with_content,
    with_more_members,
    with_unheard_word,
)
from providers.conformance.suite import ENDS, Check, Subject, require
from providers.contract import (
    Absent,
    Ambiguous,
    Declined,
    HttpResponse,
    NotSent,
    Operation,
    Outcome,
    Throttled,
    Verb,
    asked,
)
from providers.declines import DeclineCode

DECIDES: Final = (*ENDS, Absent, Throttled, NotSent)  # ends an operation, or permits to send it again
UNEXPLAINED: Final = (
    *(200, 201, 202, 204, 206, 301, 302, 303, 307, 308),
    *(400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 423, 424, 425, 429, 451),
    *(500, 501, 502, 503, 504, 520, 522, 524),
)


def answers_mean_what_the_documents_say(of: Subject) -> Iterator[Check]:
    """Each recorded answer gives the outcome that its case states, to the letter, and asks nothing more."""
    for verb in of.spec.verbs:
        yield Check(f"{verb} has a case", partial(require, verb in of.by_verb, "none of CASES.answers performs it"))
    for case in of.cases.answers:
        yield Check(case.says, partial(_is_understood, of, case))


def _is_understood(of: Subject, case: Case) -> None:
    exchange = of.exchange(case.operation, case.answers, of.account(case))
    made, given = len(exchange.requests), len(case.answers)
    require(made == given, f"it makes {made} requests, the case has {given} answers")
    require(exchange.outcome == case.expect, f"it is {exchange.outcome}, not {case.expect}")


def every_row_of_every_table_is_reached(of: Subject) -> Iterator[Check]:
    """Each word and each HTTP status in a table of the spec stands in a recorded answer that means what it says."""
    for table, rows in of.tables.items():
        for word, means in rows.items():
            yield Check(f"{table}: {word}", partial(_is_reached, of, word, means))
    known = {word for rows in of.tables.values() for word in rows}
    claimed = [(case.says, case.row) for case in of.cases.answers] + [(one.says, one.row) for one in of.cases.callbacks]
    for says, row in claimed:
        if row is not None:
            yield Check(says, partial(require, row in known, f"no table has the row {row!r}"))


def _is_reached(of: Subject, word: str, means: object) -> None:
    answered = [(case.answers[-1], case.expect) for case in of.cases.answers if case.row == word]
    told = [
        (answer(one.body, 0), notice.outcome) for one in of.cases.callbacks if one.row == word for notice in one.expect
    ]
    require(answered or told, f"no case reaches it: add one with row={word!r}")
    for response, _ in (*answered, *told):
        said = str(response.status) == word or carries(response.content, word)
        require(said, "a case claims it, and its last answer does not say it")
    require(any(_is_meant(outcome, means) for _, outcome in (*answered, *told)), f"no case of it gives {means}")


def _is_meant(outcome: Outcome, means: object) -> bool:
    if isinstance(means, DeclineCode):
        return isinstance(outcome, Declined) and outcome.code is means
    return type(outcome) is (means if isinstance(means, type) else type(means))


def a_word_nobody_knows_settles_nothing(of: Subject) -> Iterator[Check]:
    """The same answer with a word that is in no table is Pending, or proves nothing; never a success or a decline."""
    for case in of.cases.answers:
        content = with_unheard_word(case.answers[-1].content, case.row) if case.row else None
        if content is not None:
            yield Check(case.says, partial(_settles_nothing, of, case, content))


def _settles_nothing(of: Subject, case: Case, content: bytes) -> None:
    outcome = of.heard(case, last=with_content(case.answers[-1], content))
    if isinstance(outcome, Declined) and _is_declined_otherwise(of, case, content):
        return  # another word of the answer declines; the unknown one only fails to say why
    require(not isinstance(outcome, DECIDES), f"it is {outcome}")


def _is_declined_otherwise(of: Subject, case: Case, content: bytes) -> bool:
    words = [word for word, means in of.spec.statuses.items() if means is Declined]
    stated = any(is_word(leaf, word) for leaf in leaves(read(content)) for word in words)
    return stated or _is_row(of, case.answers[-1].status)


def an_answer_may_have_more_members(of: Subject) -> Iterator[Check]:
    """Members that nobody told us about change nothing, wherever they stand."""
    for case in of.cases.answers:
        content = with_more_members(case.answers[-1].content)
        if content is not None:
            yield Check(case.says, partial(_says_the_same, of, case, content))


def _says_the_same(of: Subject, case: Case, content: bytes) -> None:
    outcome = of.heard(case, last=with_content(case.answers[-1], content))
    require(outcome == case.expect, f"it is {outcome}, not {case.expect}")


def a_damaged_answer_never_says_something_else(of: Subject) -> Iterator[Check]:
    """A member that is missing, null or of another type, another shape, another charset, an answer cut short: it means
    what it meant, or it settles nothing. (Where the HTTP status alone says it, the body does not matter.)"""
    for case in of.cases.answers:
        if not _is_row(of, case.answers[-1].status) and not isinstance(case.expect, Ambiguous):
            for what, content in (*damaged(case.answers[-1].content), *reshaped(case.answers[-1].content)):
                yield Check(f"{case.says}, {what}", partial(_is_not_something_else, of, case, content))


def _is_not_something_else(of: Subject, case: Case, content: bytes) -> None:
    outcome = of.heard(case, last=with_content(case.answers[-1], content))
    same = type(outcome) is type(case.expect)
    require(same or not isinstance(outcome, DECIDES), f"it is {outcome}, where {case.expect} was said")


def an_answer_about_another_operation_proves_nothing(of: Subject) -> Iterator[Check]:
    """An answer that names another reference, as on a connection that got mixed up, settles nothing."""
    for case in of.cases.answers:
        ours = asked(case.operation).reference
        body = read(case.answers[-1].content)
        if isinstance(case.expect, ENDS) and any(leaf == ours for leaf in leaves(body)):
            yield Check(case.says, partial(_is_not_ours, of, case, ours))


def _is_not_ours(of: Subject, case: Case, ours: str) -> None:
    other = ours[:-1] + next(letter for letter in of.spec.reference.alphabet if letter != ours[-1])
    body = rewritten(read(case.answers[-1].content), lambda leaf: other if leaf == ours else leaf)
    outcome = of.heard(case, last=answer(body, case.answers[-1].status, case.answers[-1].headers))
    require(not isinstance(outcome, DECIDES), f"it is {outcome}")


def what_breaks_in_between_settles_nothing(of: Subject) -> Iterator[Check]:
    """An HTML page, an empty answer, an error nobody documented, under whatever HTTP status, to any request: never a
    success, and a decline only where the provider documents that status itself as a refusal."""
    for verb, case in of.by_verb.items():
        for status in UNEXPLAINED:
            for what, content in DOCUMENTS.items():
                yield Check(f"{verb}: {what} under {status}", partial(_breaks, of, verb, case, answer(content, status)))


def _breaks(of: Subject, verb: Verb, case: Case, broken: HttpResponse) -> None:
    for place in range(len(case.answers)):
        outcome = of.exchange(case.operation, (*case.answers[:place], broken), of.account(case)).outcome
        refused = isinstance(outcome, Declined | Throttled) and verb is not Verb.QUERY
        documented = refused and _is_row(of, broken.status)
        require(documented or not isinstance(outcome, DECIDES), f"answered to request {place + 1} it is {outcome}")


def _is_row(of: Subject, status: int) -> bool:
    """Whether a table gives an HTTP status a meaning of its own."""
    return any(str(status) in rows for rows in of.tables.values())


def a_success_under_an_error_is_no_decline(of: Subject) -> Iterator[Check]:
    """JSON that states a success, under an HTTP error of the server: whatever is believed, it is not that nothing
    happened."""
    for case in of.cases.answers:
        if isinstance(case.expect, ENDS) and not isinstance(case.expect, Declined):
            for status in (408, 409, 424, 500, 502, 503, 504):
                yield Check(f"{case.says}, under {status}", partial(_is_no_decline, of, case, status))


def _is_no_decline(of: Subject, case: Case, status: int) -> None:
    outcome = of.heard(case, last=replace(case.answers[-1], status=status))
    require(not isinstance(outcome, (Declined, Absent, Throttled, NotSent)), f"it is {outcome}")


def an_error_of_a_query_is_not_the_payments(of: Subject) -> Iterator[Check]:
    """Whatever HTTP error a query gets, with whatever body a case has: it declines nothing and finds nothing absent
    unless a case says so."""
    said = {(case.answers[-1].status, case.answers[-1].content) for case in _queries(of)}
    bodies = {case.answers[-1].content for case in of.cases.answers if case.answers[-1].status >= 400}
    query = of.by_verb.get(Verb.QUERY)
    for status in (400, 401, 403, 404, 409, 429, 500, 503):
        for number, content in enumerate(sorted(bodies)):
            if query is not None and (status, content) not in said:
                broken = answer(content, status)
                yield Check(f"error {number} under {status}", partial(_is_no_end, of, query.operation, query, broken))


def _queries(of: Subject) -> Iterator[Case]:
    yield from (case for case in of.cases.answers if case.operation.verb is Verb.QUERY)


def _is_no_end(of: Subject, operation: Operation, case: Case, broken: HttpResponse) -> None:
    outcome = of.exchange(operation, (*case.answers[:-1], broken), of.account(case)).outcome
    require(not isinstance(outcome, ENDS), f"it is {outcome}")
