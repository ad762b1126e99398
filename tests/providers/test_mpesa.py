"""The M-Pesa adapter and its simulator: what the conformance suite's scenarios leave out."""

import asyncio

import pytest
from msgspec.structs import replace

from providers.contract import (
    Absent,
    Ambiguous,
    CallbackRequest,
    Declined,
    MobileMoney,
    Pending,
    Succeeded,
    Throttled,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.mpesa import cases
from providers.mpesa.platform_key import PUBLIC_KEY
from providers.registry import PROVIDERS

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["mpesa"]
KEY = cases.ACCOUNT.api_key


@pytest.fixture
def mpesa(simulator, operation, follow_up):
    class Mpesa:
        def __init__(self, sim):
            self.sim = sim

        def operation(self, digits="000", verb=Verb.CHARGE, **fields):
            return operation("mpesa", verb, digits=digits, **fields)

        async def perform(self, op, **settings):
            return await self.sim.perform(op, **settings)

        async def query(self, target, **settings):
            return await self.sim.perform(follow_up("mpesa", Verb.QUERY, target), **settings)

        async def becomes(self, target, kind):
            async with asyncio.timeout(10):
                while not isinstance(outcome := await self.query(target), kind):
                    await asyncio.sleep(0.01)
            return outcome

        async def callbacks_to(self, receiver):
            await self.sim.post("/_simulator/secrets", {"api_key": KEY, "secret": receiver.url})

        async def moved(self, op, kind="charges"):
            return [entry["amount"] for entry in (await self.sim.ledger(reference=op.reference))[kind]]

    async def start(**fields):
        return Mpesa(await simulator("mpesa", **fields))

    return start


# --- The sandbox's documented numbers -------------------------------------------------------------------------------

CUSTOMERS = [
    (1, Succeeded()),
    (2, "INS-9"),
    (3, "INS-9"),
    (4, DeclineCode.DECLINED),
    (5, "HTTP 500"),
    (6, DeclineCode.DECLINED),
    (7, DeclineCode.AMOUNT_OUT_OF_RANGE),
    (8, DeclineCode.INSUFFICIENT_FUNDS),
    (9, "HTTP 503"),
]
PAYEES = [
    (1, Succeeded()),
    (2, "HTTP 500"),
    (3, DeclineCode.DECLINED),
    (4, "INS-9"),
    (5, DeclineCode.AMOUNT_OUT_OF_RANGE),
    (6, DeclineCode.INSUFFICIENT_FUNDS),
    (7, "HTTP 503"),
]
REVERSALS = [
    (1, Succeeded()),
    (2, "HTTP 500"),
    (3, DeclineCode.DECLINED),
    (4, DeclineCode.AMOUNT_OUT_OF_RANGE),
    (5, DeclineCode.INSUFFICIENT_FUNDS),
    (6, DeclineCode.INVALID_REQUEST),
    (7, "HTTP 503"),
]


def is_meant(outcome, meant):
    if isinstance(meant, DeclineCode):
        return isinstance(outcome, Declined) and outcome.code is meant
    if isinstance(meant, str):
        return isinstance(outcome, Ambiguous) and outcome.detail.startswith(meant)
    return type(outcome) is type(meant)


@pytest.mark.parametrize(
    ("verb", "table", "kind"),
    [(Verb.CHARGE, CUSTOMERS, "charges"), (Verb.PAYOUT, PAYEES, "payouts"), (Verb.REFUND, REVERSALS, "refunds")],
)
async def test_the_documented_numbers(mpesa, verb, table, kind):
    box = await mpesa()
    for digit, meant in table:
        target = box.operation(provider_reference=f"000000000000{digit}")
        phone = "+26658123000" if verb is Verb.REFUND else f"00000000000{digit}"
        op = box.operation(verb=verb, method=MobileMoney(phone), target=target)
        outcome = await box.perform(op)
        assert is_meant(outcome, meant), (digit, outcome)
        assert await box.moved(op, kind) == ([15000] if isinstance(meant, Succeeded) else [])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("000000000001", "Succeeded"),
        ("000000000002", "Ambiguous"),
        ("000000000003", "Ambiguous"),
        ("000000000007", "Ambiguous"),
        ("000000000000000000001", "Reversed"),
        ("000000000000000000002", "Ambiguous"),
        ("000000000000000000005", "Ambiguous"),
    ],
)
async def test_the_documented_queries(mpesa, name, kind):
    box = await mpesa()
    assert type(await box.query(box.operation(reference=name))).__name__ == kind


# --- Sessions -------------------------------------------------------------------------------------------------------


async def logins(box):
    return (await box.sim.get("/_simulator/sessions")).json()["opened"]


async def test_one_session_serves_many(mpesa):
    box = await mpesa()
    operations = [box.operation() for _ in range(20)]
    assert {type(one) for one in await asyncio.gather(*map(box.perform, operations))} == {Succeeded}
    assert await logins(box) == 1


async def test_a_session_that_is_not_live_yet_is_kept_and_the_request_sent_again(mpesa):
    box, op = await mpesa(), None
    await box.sim.post("/_simulator/sessions", {"live_after_s": 0.4})
    op = box.operation()
    assert await box.perform(op) == Throttled(retry_after_s=5, provider_code="401")
    async with asyncio.timeout(10):
        while not isinstance(outcome := await box.perform(op), Succeeded):
            assert isinstance(outcome, Throttled)
            await asyncio.sleep(0.05)
    assert (await logins(box), await box.moved(op)) == (1, [15000])


async def test_a_wrong_key_is_tried_again_and_a_wrong_origin_is_not(mpesa):
    box = await mpesa()
    assert type(await box.perform(box.operation(), api_key="wrong")).__name__ == "NotSent"
    refused = await box.perform(box.operation(), origin="not-allowed")
    assert refused == Declined(code=DeclineCode.CONFIGURATION, provider_code="Origin not allowed")


async def test_a_key_for_another_platform_is_refused(mpesa):
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.providers.test_encryption import der

    box = await mpesa()
    outcome = await box.perform(box.operation(), public_key=der(rsa.generate_private_key(65537, 4096)))
    assert type(outcome).__name__ == "NotSent"


async def test_the_simulator_shows_the_key_for_accounts(mpesa):
    box = await mpesa()
    assert (await box.sim.get("/_simulator/public_key")).json() == {"public_key": PUBLIC_KEY}
    assert cases.ACCOUNT.public_key == PUBLIC_KEY


# --- Money ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "kind"), [(Verb.CHARGE, "charges"), (Verb.PAYOUT, "payouts")])
async def test_a_repetition_is_refused_and_proves_nothing(mpesa, verb, kind):
    """What idempotency by reference rests on."""
    box = await mpesa()
    op = box.operation(verb=verb)
    assert isinstance(await box.perform(op), Succeeded)
    assert await box.perform(op) == Ambiguous(detail="INS-10")
    assert await box.moved(op, kind) == [15000]
    assert isinstance(await box.query(op), Succeeded)
    assert SPEC.verbs[verb].uncertainty.idempotency == "reference"


async def test_a_reversal_twice_is_one(mpesa):
    box = await mpesa()
    charge = box.operation()
    known = replace(charge, provider_reference=(await box.perform(charge)).provider_reference)
    refund = box.operation(verb=Verb.REFUND, target=known, amount=15000)
    assert isinstance(await box.perform(refund), Succeeded)
    assert await box.perform(refund) == Ambiguous(detail="INS-10")
    assert await box.moved(refund, "refunds") == [15000]
    assert type(await box.query(known)).__name__ == "Reversed"
    assert isinstance(await box.query(refund), Succeeded)
    another = box.operation(verb=Verb.REFUND, target=known, amount=1)
    assert (await box.perform(another)).code is DeclineCode.AMOUNT_OUT_OF_RANGE
    assert await box.moved(another, "refunds") == []


async def test_a_reversal_of_what_is_not_there_or_not_ours(mpesa):
    box = await mpesa()
    stranger = box.operation(verb=Verb.REFUND, target=box.operation(provider_reference="NOSUCHONE1"))
    assert (await box.perform(stranger)).provider_code == "INS-18"
    charge = box.operation()
    live = {"environment": "openapi", "service_provider_code": "ORG001"}
    known = replace(charge, provider_reference=(await box.perform(charge)).provider_reference)
    assert (await box.perform(box.operation(verb=Verb.REFUND, target=known), **live)).provider_code == "INS-35"


async def test_what_was_never_asked_for_is_absent(mpesa):
    box = await mpesa()
    assert await box.query(box.operation()) == Absent()
    assert SPEC.verbs[Verb.CHARGE].uncertainty.absence_after_s == 300
    assert SPEC.verbs[Verb.REFUND].uncertainty.absence_after_s is None


async def test_a_check_of_an_account(mpesa, caller):
    box = await mpesa()

    async def check(**settings):
        account = replace(cases.ACCOUNT, base_url=box.sim.url, **settings)
        flow = SPEC.check(account, "http://127.0.0.1:9/callbacks/mpesa/token")
        return await caller("mpesa", account, box.sim.url).call(flow, deadline_s=5)

    assert await check() == Absent()
    for wrong in ({"service_provider_code": "123456"}, {"api_key": "wrong"}, {"origin": "not-allowed"}):
        assert (await check(**wrong)).code is DeclineCode.CONFIGURATION


async def test_it_goes_on_after_a_kill(mpesa, tmp_path):
    """What was accepted before is settled after, once; what was known is known."""
    first, op, done = await mpesa(pace=0.3), None, None
    op, done = first.operation("001"), first.operation()
    assert isinstance(await first.perform(op), Pending)
    assert isinstance(await first.perform(done), Succeeded)
    again = await mpesa(pace=0.3)  # the same directory: its ledger is all that is left
    assert isinstance(await again.query(done), Succeeded)
    await again.becomes(op, Succeeded)
    assert await again.perform(done) == Ambiguous(detail="INS-10")


@pytest.mark.parametrize("digits", ["005", "006", "008", "009", "010"])
async def test_a_lost_answer_is_found_by_asking(mpesa, digits):
    box = await mpesa()
    op = box.operation(digits)
    outcome = await box.sim.perform(op, deadline_s=0.5 if digits == "005" else 5)
    assert isinstance(outcome, (Unknown, Ambiguous))
    assert isinstance(await box.query(op), Succeeded)
    assert await box.moved(op) == [15000]


# --- Callbacks ------------------------------------------------------------------------------------------------------


def notice_of(request, op):
    callback = CallbackRequest(method="POST", query="", headers={}, body=request.content, received_at=op.sent_at)
    [notice] = SPEC.callback.parse(callback)
    assert notice.reference == op.reference
    return notice


@pytest.mark.parametrize(
    ("digits", "kinds"),
    [
        ("001", [Succeeded]),
        ("003", [Declined]),
        ("012", [Succeeded] * 5),
        ("014", [Declined, Succeeded]),
        ("016", [Succeeded]),
    ],
)
async def test_callbacks(mpesa, receiver, digits, kinds):
    box = await mpesa()
    await box.callbacks_to(receiver)
    op = box.operation(digits)
    assert isinstance(await box.perform(op), Pending)
    requests = await receiver.wait(len(kinds))
    assert [type(notice_of(request, op).outcome) for request in requests] == kinds
    if digits == "016":
        assert b"FORGED" in requests[0].content
    assert isinstance(await box.becomes(op, Declined if kinds == [Declined] else Succeeded), (Declined, Succeeded))


async def test_a_callback_may_overtake_the_answer(mpesa, receiver):
    box = await mpesa()
    await box.callbacks_to(receiver)
    op = box.operation("015")
    answering = asyncio.ensure_future(box.perform(op))
    [request] = await receiver.wait(1)
    assert not answering.done()
    assert isinstance(notice_of(request, op).outcome, Succeeded)
    assert isinstance(await answering, Pending)


@pytest.mark.parametrize("digits", ["000", "002", "004", "013"])
async def test_no_callback(mpesa, receiver, digits):
    box = await mpesa()
    await box.callbacks_to(receiver)
    op = box.operation(digits)
    await box.perform(op)
    await box.becomes(op, {"002": Declined, "004": Pending}.get(digits, Succeeded))
    await asyncio.sleep(0.05)
    assert receiver.requests == []
