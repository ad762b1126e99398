"""The conformance suite can fail: adapters that are wrong in one way each are refuted, by the proof that is for it."""

import itertools

import msgspec
import pytest
from msgspec.structs import replace

from providers.conformance.proofs import PROOFS
from providers.conformance.suite import Subject, name_of, prove, subject
from providers.contract import (
    Credentials,
    Declined,
    HttpRequest,
    Pending,
    Reversed,
    SignatureInvalid,
    Succeeded,
    Throttled,
    Verb,
)
from providers.declines import DeclineCode
from providers.signing import verify_standard_webhook

pytestmark = pytest.mark.anyio
GOOD = subject("sandbox")
COUNTER = itertools.count()


def with_flow(verb, change, of=GOOD):
    """The provider with another flow for a verb: `change` gets the flow of the good one."""
    known = of.spec.verbs[verb]
    verbs = {**of.spec.verbs, verb: replace(known, flow=lambda op, account: change(known.flow(op, account)))}
    return Subject(replace(of.spec, verbs=verbs), of.cases)


def concluding(verb, judge):
    """The provider whose flow's outcome is changed, given the last answer."""

    def change(flow):
        request, response = next(flow), None
        try:
            while True:
                response = yield request
                request = flow.send(response)
        except StopIteration as end:
            return judge(response, end.value)

    return with_flow(verb, change)


def asking(verb, rewrite):
    """The provider whose requests are changed."""

    def change(flow):
        request = next(flow)
        try:
            while True:
                request = flow.send((yield rewrite(request)))
        except StopIteration as end:
            return end.value

    return with_flow(verb, change)


def with_callback(**fields):
    return Subject(replace(GOOD.spec, callback=replace(GOOD.spec.callback, **fields)), GOOD.cases)


def declined(outcome):
    return Declined(code=DeclineCode.DECLINED) if isinstance(outcome, Pending) else outcome


def unread(flow):
    """Reads no answer as a decline, as a careless adapter may."""
    request = next(flow)
    response = yield request
    try:
        flow.send(response)
    except StopIteration as end:
        return end.value
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Declined(code=DeclineCode.DECLINED)


def any_time(request, account):
    """Takes a signature of any age."""
    try:
        at = int(request.headers["webhook-timestamp"])
    except (KeyError, ValueError):
        raise SignatureInvalid from None
    received = request.received_at.fromtimestamp(at, request.received_at.tzinfo)
    verify_standard_webhook(replace(request, received_at=received), [account.webhook_secret])


def numbered(request):
    return replace(request, headers={**request.headers, "x-request": str(next(COUNTER))})


def rounded(request):
    body = msgspec.json.decode(request.content)
    return replace(request, content=msgspec.json.encode({**body, "amount": body["amount"] // 100 * 100}))


def login_in_clear(settings):
    yield from ()
    return Credentials(headers={"authorization": f"Bearer {settings.api_key}"})


def twice(flow):
    response = yield next(flow)
    yield HttpRequest(method="GET", path="/again")
    try:
        flow.send(response)
    except StopIteration as end:
        return end.value


def doubled(flow):
    """Sends what it sends twice, where that acts twice."""
    request = next(flow)
    yield request
    try:
        flow.send((yield request))
    except StopIteration as end:
        return end.value


def renamed(request):
    return replace(request, path="/v1/charges/x", content=b'{"amount": 15000}', headers={})


WRONG = {
    "a word nobody knows settles nothing": concluding(Verb.QUERY, lambda _, outcome: declined(outcome)),
    "answers mean what the documents say": concluding(Verb.CHARGE, lambda _, outcome: Pending()),
    "what breaks in between settles nothing": with_flow(Verb.CHARGE, unread),
    "an error of a query is not the payments": concluding(
        Verb.QUERY, lambda response, outcome: Reversed() if response.status == 403 else outcome
    ),
    "a success under an error is no decline": concluding(
        Verb.CHARGE, lambda response, outcome: Throttled() if response.status == 503 else outcome
    ),
    "an answer about another operation proves nothing": concluding(
        Verb.QUERY,
        lambda response, outcome: Succeeded() if b'"succeeded"' in response.content else outcome,
    ),
    "a damaged answer never says something else": with_flow(Verb.QUERY, unread),
    "an answer may have more members": concluding(
        Verb.CHARGE, lambda response, outcome: Pending() if b"unheardOf" in response.content else outcome
    ),
    "the same operation is the same bytes": asking(Verb.CHARGE, numbered),
    "a request names its operation": asking(Verb.CHARGE, renamed),
    "amounts are exact": asking(Verb.CHARGE, rounded),
    "a case means the same over a socket": with_flow(Verb.CHARGE, twice),
    "what is not the providers is refused": with_callback(verify=any_time),
    "an authentic callback is believed": with_callback(verify=None),
    "callbacks mean what the documents say": with_callback(parse=lambda request: []),
    "secrets are not shown": Subject(replace(GOOD.spec, authenticate=login_in_clear), GOOD.cases),
    "every row of every table is reached": Subject(
        replace(GOOD.spec, statuses={**GOOD.spec.statuses, "voided": Reversed}), GOOD.cases
    ),
    "the tables are sound": Subject(replace(GOOD.spec, limits={}), GOOD.cases),
    "a poll and a callback agree": concluding(Verb.QUERY, lambda _, outcome: Pending()),
    "the simulator and the adapter agree": with_flow(Verb.CHARGE, doubled, subject("cpay")),
}


@pytest.mark.parametrize("wrong", sorted(WRONG))
async def test_what_is_wrong_is_refuted(wrong):
    proof = next(proof for proof in PROOFS if name_of(proof) == wrong)
    of = WRONG[wrong]
    if wrong == "the simulator and the adapter agree":
        of = Subject(of.spec, replace(of.cases, scenarios=of.cases.scenarios[:1]))
    assert (await prove(proof, of)).refuted
