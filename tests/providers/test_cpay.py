"""The C-Pay adapter: against its simulator, and against the words and oddities of its document."""

import asyncio

import pytest

from providers.contract import (
    ActionRequired,
    Ambiguous,
    CallbackRequest,
    Declined,
    Otp,
    Pending,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.registry import PROVIDERS

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["cpay"]


@pytest.fixture
def cpay(simulator, operation, follow_up):
    class CPay:
        def __init__(self, sim):
            self.sim = sim

        def operation(self, digits="000", **fields):
            return operation("cpay", digits=digits, **fields)

        async def charge(self, op, **settings):
            return await self.sim.perform(op, deadline_s=_deadline_s(op), **settings)

        async def query(self, target):
            return await self.sim.perform(follow_up("cpay", Verb.QUERY, target))

        async def confirm(self, target, otp, **settings):
            confirm = follow_up("cpay", Verb.CONFIRM, target, otp=Secret(otp))
            return await self.sim.perform(confirm, deadline_s=_deadline_s(target), **settings)

        async def becomes(self, target, kind):
            async with asyncio.timeout(5):
                while not isinstance(outcome := await self.query(target), kind):
                    await asyncio.sleep(0.01)
            return outcome

        async def charges(self, op):
            return (await self.sim.ledger(reference=op.reference))["charges"]

    async def start(**fields):
        started = CPay(await simulator("cpay", **fields))
        await started.sim.post("/_simulator/secrets", {"api_key": "cpay-key", "secret": "cpay-hmac"})
        return started

    return start


def _deadline_s(charge):
    """Short where the simulator never answers."""
    return 0.5 if charge.method.phone.endswith("005") else 10


FIRST_AND_LAST = {
    "000": (Pending, Succeeded),
    "002": (Pending, Declined),
    "003": (Pending, Declined),
    "004": (Pending, Pending),
    "005": (Unknown, Succeeded),
    "006": (Ambiguous, Succeeded),
    "013": (Pending, Succeeded),
    "017": (Pending, Succeeded),
    "456": (Pending, Succeeded),
}


@pytest.mark.parametrize("digits", sorted(FIRST_AND_LAST))
@pytest.mark.parametrize("msisdn_format", ["local8", "e164"])
async def test_ussd_push(cpay, digits, msisdn_format):
    box = await cpay()
    op = box.operation(digits)
    first, last = FIRST_AND_LAST[digits]
    assert isinstance(await box.charge(op, msisdn_format=msisdn_format), first)
    await box.becomes(op, last)
    charges = await box.charges(op)
    assert len(charges) == (last is Succeeded)
    assert all((one["amount"], one["currency"], one["payment"]) == (15000, "LSL", op.payment) for one in charges)
    assert (await box.sim.ledger(payment=op.payment))["charges"] == charges


async def test_what_is_said_exactly(cpay):
    box = await cpay()
    await box.charge(op := box.operation("002"))
    outcome = await box.becomes(op, Declined)
    assert (outcome.code, outcome.provider_code) == (DeclineCode.DECLINED, "DENIED")
    await box.charge(op := box.operation("003"))
    assert (await box.becomes(op, Declined)).code is DeclineCode.PAYER_CANCELED
    outcome = await box.charge(box.operation("018"))
    assert (outcome.code, outcome.provider_message) == (DeclineCode.INVALID_PAYER, "Wallet account does not exist")
    outcome = await box.charge(box.operation(), hmac_secret=Secret("wrong"))
    assert (outcome.code, outcome.provider_code) == (DeclineCode.CONFIGURATION, "CHECKSUMERROR")


@pytest.mark.parametrize(
    ("digits", "last"), [("000", Succeeded), ("002", Declined), ("005", Unknown), ("006", Ambiguous)]
)
async def test_otp(cpay, digits, last):
    box = await cpay()
    op = box.operation(digits)
    assert isinstance((await box.charge(op, flow="otp")).action, Otp)
    assert isinstance(await box.query(op), ActionRequired)
    assert "not accept" in (await box.confirm(op, "000000", flow="otp")).action.message
    assert await box.charges(op) == []
    assert isinstance(await box.confirm(op, "123456", flow="otp"), last)
    await box.becomes(op, Declined if last is Declined else Succeeded)
    assert len(await box.charges(op)) == (last is not Declined)


async def test_a_repetition_is_charged_again(cpay):
    """Why the adapter declares no idempotency; and the ledger shows both requests."""
    box = await cpay()
    op = box.operation()
    await box.charge(op)
    await box.charge(op)
    async with asyncio.timeout(5):
        while len(await box.charges(op)) < 2:
            await asyncio.sleep(0.01)
    assert len([one for one in (await box.sim.ledger(payment=op.payment))["requests"] if one["method"] == "POST"]) == 2
    assert SPEC.verbs[Verb.CHARGE].uncertainty.idempotency == "none"
    assert SPEC.verbs[Verb.CHARGE].uncertainty.absence_after_s is None


async def test_a_query_that_finds_nothing_proves_nothing(cpay):
    box = await cpay()
    assert await box.query(box.operation()) == Ambiguous(detail="HTTP 404")


@pytest.mark.parametrize(("digits", "count"), [("000", 1), ("002", 1), ("013", 0), ("017", 3)])
async def test_callbacks(cpay, receiver, digits, count):
    box = await cpay()
    op = box.operation(digits, callback_url=receiver.url)
    await box.charge(op)
    last = await box.becomes(op, (Succeeded, Declined))
    await receiver.wait(count)
    await asyncio.sleep(0.05)
    assert len(receiver.requests) == count
    for request in receiver.requests:
        callback = CallbackRequest(method="POST", query="", headers={}, body=request.content, received_at=op.sent_at)
        [notice] = SPEC.callback.parse(callback)
        assert notice.reference == op.reference
        assert notice.provider_reference == last.provider_reference
        assert type(notice.outcome) is type(last)
    assert SPEC.callback.verify is None
