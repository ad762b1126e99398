"""The sandbox adapter against the sandbox simulator, over real HTTP: all behaviours, as outcomes."""

import asyncio

import httpx
import pytest

from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    Declined,
    Pending,
    Redirected,
    Secret,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.registry import PROVIDERS
from providers.sandbox.behaviours import BEHAVIOURS
from tests.providers.sandbox_kit import declined, succeeded

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["sandbox"]


# digits: what the charge itself is answered, and what a later query finds
FIRST_AND_LAST = {
    "000": (Succeeded, Succeeded),
    "001": (Pending, Succeeded),
    "002": (Declined, Declined),
    "003": (Pending, Declined),
    "005": (Unknown, Succeeded),
    "006": (Ambiguous, Succeeded),
    "007": (Ambiguous, Absent),
    "008": (Unknown, Succeeded),
    "009": (Succeeded, Succeeded),
    "010": (ActionRequired, ActionRequired),
    "011": (ActionRequired, ActionRequired),
    "012": (Pending, Succeeded),
    "013": (Pending, Succeeded),
    "014": (Pending, Succeeded),
    "016": (Pending, Succeeded),
    "123": (Succeeded, Succeeded),
}


@pytest.mark.parametrize("digits", sorted(FIRST_AND_LAST))
async def test_every_behaviour(sandbox, digits):
    box = await sandbox()
    op = box.operation(digits)
    first, last = FIRST_AND_LAST[digits]
    assert isinstance(await box.charge(op), first)
    await box.becomes(op, last)
    charges = await box.charges(op)
    assert [one["reference"] for one in charges] == ([op.reference] if last is Succeeded else [])


@pytest.mark.parametrize("digits", sorted(BEHAVIOURS))
async def test_tokens_behave_as_phones(sandbox, digits):
    box = await sandbox()
    by_phone, by_token = box.operation(digits), box.operation(token=BEHAVIOURS[digits].token)
    outcomes = await asyncio.gather(box.charge(by_phone), box.charge(by_token))
    assert type(outcomes[0]) is type(outcomes[1])


async def test_what_is_said_exactly(sandbox):
    box = await sandbox()
    assert await box.charge(op := box.operation()) == succeeded(op)
    assert await box.charge(op := box.operation("002")) == declined(
        op, DeclineCode.INSUFFICIENT_FUNDS, "insufficient_funds"
    )
    assert await box.charge(op := box.operation("009")) == succeeded(op, added=1)
    assert await box.charge(op := box.operation("003")) == Pending(provider_reference=f"ch_{op.reference}")
    assert await box.becomes(op, Declined) == declined(op, DeclineCode.PAYER_CANCELED, "payer_canceled")


async def test_never_stays_pending(sandbox):
    box = await sandbox(pace=0.001)
    op = box.operation("004")
    await box.charge(op)
    await asyncio.sleep(0.1)
    assert isinstance(await box.query(op), Pending)


async def test_slow_is_heard_within_the_deadline(sandbox):
    box = await sandbox(pace=0.01)
    assert isinstance(await box.charge(box.operation("015")), Succeeded)


@pytest.mark.parametrize("digits", ["000", "005", "006", "008", "001"])
async def test_the_same_operation_is_charged_once(sandbox, digits):
    box = await sandbox()
    op = box.operation(digits)
    await asyncio.gather(*(box.charge(op) for _ in range(5)))
    assert await box.becomes(op, Succeeded) == succeeded(op)
    ledger = await box.sim.ledger(payment=op.payment)
    assert len(ledger["charges"]) == 1
    sends = [one for one in ledger["requests"] if one["operation"] == op.id]
    assert [(one["method"], one["path"], one["reference"]) for one in sends] == [
        ("POST", "/v1/charges", op.reference)
    ] * 5
    assert (await box.sim.ledger(reference=op.reference))["charges"] == ledger["charges"]


async def test_nothing_charged_is_absent_however_often_it_is_sent(sandbox):
    box = await sandbox()
    op = box.operation("007")
    for _ in range(3):
        assert await box.charge(op) == Ambiguous(detail="HTTP 503")
    assert await box.query(op) == Absent()
    assert await box.charges(op) == []


async def test_redirect(sandbox, receiver):
    box = await sandbox()
    for outcome, kind in (("succeeded", Succeeded), ("declined", Declined)):
        op = box.operation(redirect=True, callback_url=receiver.url, return_url="http://127.0.0.1:9/back?x=1")
        answer = await box.charge(op)
        assert isinstance(answer.action, Redirected)
        async with httpx.AsyncClient() as browser:
            page = await browser.get(answer.action.url)
            assert f"outcome={outcome}" in page.text
            done = await browser.post(f"{answer.action.url}?outcome={outcome}")
            assert (done.status_code, done.headers["location"]) == (303, op.return_url)
            await browser.post(f"{answer.action.url}?outcome=succeeded")
            assert "<button>" not in (await browser.get(answer.action.url)).text
        assert isinstance(await box.query(op), kind)
    assert len(await receiver.wait(2)) == 2


async def test_otp(sandbox):
    box = await sandbox()
    op = box.operation("011")
    await box.charge(op)
    wrong = await box.confirm(op, "000000")
    assert "2 more tries" in wrong.action.message
    assert await box.confirm(op, "123456") == succeeded(op)
    assert await box.confirm(op, "000000") == succeeded(op), "too late to spoil it"
    assert len(await box.charges(op)) == 1


async def test_the_third_wrong_otp_declines(sandbox):
    box = await sandbox()
    op = box.operation("011")
    await box.charge(op)
    for _ in range(3):
        await box.confirm(op, "000000", id="op_same")
    assert isinstance(await box.query(op), ActionRequired), "one operation counts once"
    await box.confirm(op, "000000")
    assert await box.confirm(op, "000000") == declined(op, DeclineCode.INVALID_OTP, "invalid_otp")
    assert isinstance(await box.confirm(op, "123456"), Declined)
    assert await box.charges(op) == []


async def test_a_query_of_a_confirm_asks_about_the_charge(sandbox, follow_up):
    box = await sandbox()
    op = box.operation("011")
    await box.charge(op)
    confirm = follow_up("sandbox", Verb.CONFIRM, op, otp=Secret("123456"))
    assert isinstance(await box.query(confirm), ActionRequired)
    await box.sim.perform(confirm)
    assert await box.query(confirm) == succeeded(op)
