"""The sandbox adapter against the sandbox simulator, over real HTTP: all behaviours, as outcomes."""

import asyncio
import base64

import httpx
import msgspec
import pytest

from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    CallbackRequest,
    CallbackUnreadable,
    ConfigurationMissing,
    Declined,
    Pending,
    Redirected,
    Secret,
    SignatureInvalid,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from providers.money import CURRENCIES
from providers.registry import PROVIDERS
from providers.sandbox.behaviours import BEHAVIOURS
from providers.sandbox.simulator import webhook_secret_for
from providers.transport import BODY_LIMIT

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["sandbox"]
ASK_AT_ONCE = {"deadline_s": 0.4}


def received(request, *, at):
    """A callback as the gateway stores it."""
    headers = {name: value for name, value in request.headers.items() if name in SPEC.callback.headers}
    return CallbackRequest(method="POST", query="", headers=headers, body=request.content, received_at=at)


@pytest.fixture
def sandbox(simulator, operation, follow_up):
    """Charges at a running simulator, and asks about them."""

    class Sandbox:
        def __init__(self, sim):
            self.sim = sim

        def operation(self, digits="000", **fields):
            return operation("sandbox", digits=digits, **fields)

        async def charge(self, op, **settings):
            return await self.sim.perform(op, **ASK_AT_ONCE, **settings)

        async def query(self, target):
            return await self.sim.perform(follow_up("sandbox", Verb.QUERY, target))

        async def confirm(self, target, otp, **fields):
            return await self.sim.perform(follow_up("sandbox", Verb.CONFIRM, target, otp=Secret(otp), **fields))

        async def becomes(self, target, kind, *, timeout_s=5):
            async with asyncio.timeout(timeout_s):
                while not isinstance(outcome := await self.query(target), kind):
                    await asyncio.sleep(0.01)
            return outcome

        async def charges(self, op):
            return (await self.sim.ledger(payment=op.payment))["charges"]

    async def start(**fields):
        return Sandbox(await simulator("sandbox", **fields))

    return start


def succeeded(op, added=0):
    return Succeeded(provider_reference=f"ch_{op.reference}", amount=op.amount + added, currency=op.currency)


def declined(op, code, word):
    return Declined(code=code, provider_code=word, provider_reference=f"ch_{op.reference}")


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


# --- Callbacks ----------------------------------------------------------------------------------------------------


async def test_callbacks_say_what_a_query_says(sandbox, receiver, settings, now):
    box = await sandbox()
    op = box.operation("001", callback_url=receiver.url)
    await box.charge(op)
    [request] = await receiver.wait(1)
    callback = received(request, at=now())
    SPEC.callback.verify(callback, settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_one"))))
    [notice] = SPEC.callback.parse(callback)
    assert notice.reference == op.reference
    assert notice.outcome == await box.query(op) == succeeded(op)
    assert SPEC.callback.parse(callback) == [notice]
    for other in (
        settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_two"))),
        settings("sandbox", webhook_secret=Secret("")),
    ):
        with pytest.raises(SignatureInvalid):
            SPEC.callback.verify(callback, other)


async def test_duplicates_come_out_of_order(sandbox, receiver, now):
    box = await sandbox()
    op = box.operation("012", callback_url=receiver.url)
    await box.charge(op)
    requests = await receiver.wait(5)
    notices = [SPEC.callback.parse(received(request, at=now()))[0] for request in requests]
    assert [type(notice.outcome) for notice in notices] == [Succeeded, Pending, Succeeded, Pending, Succeeded]
    assert len({notice.event_id for notice in notices}) == 2


async def test_late_success(sandbox, receiver, now):
    box = await sandbox()
    op = box.operation("014", callback_url=receiver.url)
    await box.charge(op)
    first, second = [SPEC.callback.parse(received(one, at=now()))[0].outcome for one in await receiver.wait(2)]
    assert isinstance(first, Declined)
    assert second == succeeded(op)


async def test_a_forged_callback(sandbox, receiver, settings, now):
    box = await sandbox()
    op = box.operation("016", callback_url=receiver.url)
    await box.charge(op)
    [request] = await receiver.wait(1)
    assert isinstance(await box.query(op), Pending)
    with pytest.raises(SignatureInvalid):
        SPEC.callback.verify(
            received(request, at=now()), settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_one")))
        )
    await box.becomes(op, Succeeded)
    assert len(receiver.requests) == 1


async def test_no_callback(sandbox, receiver):
    box = await sandbox(pace=0.01)
    op = box.operation("013", callback_url=receiver.url)
    await box.charge(op)
    await box.becomes(op, Succeeded)
    await asyncio.sleep(0.1)
    assert receiver.requests == []


async def test_callbacks_are_tried_again(sandbox, receiver):
    box = await sandbox(pace=0.01)
    receiver.status = 503
    op = box.operation("001", callback_url=receiver.url)
    await box.charge(op)
    await receiver.wait(2)
    receiver.status = 200
    await receiver.wait(3)
    await asyncio.sleep(0.1)
    assert len({request.content for request in receiver.requests}) == 1
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"id": "evt", "charge": null}', b"\xff", b"[" * 100_000]
)
def test_unreadable_callbacks(body, now):
    callback = CallbackRequest(method="POST", query="", headers={}, body=body, received_at=now())
    with pytest.raises(CallbackUnreadable):
        SPEC.callback.parse(callback)


# --- Answers that the simulator does not give ---------------------------------------------------------------------


def charge_json(op, **fields):
    said = {
        "id": "ch_1",
        "reference": op.reference,
        "status": "succeeded",
        "amount": op.amount,
        "currency": op.currency,
    }
    return msgspec.json.encode({**said, **fields})


@pytest.fixture
def heard(operation, settings, answered):
    """The outcome of a charge and of a query that are answered so."""

    def make(status, fields=None, content=None):
        op = operation("sandbox")
        body = charge_json(op, **(fields or {})) if content is None else content
        ask = operation("sandbox", Verb.QUERY, target=op)
        return [answered("sandbox", one, settings("sandbox"), status, body) for one in (op, ask)]

    return make


def test_unknown_words_are_pending(heard):
    for outcome in heard(200, {"status": "WAT"}):
        assert outcome == Pending(provider_reference="ch_1", provider_code="WAT")
    for outcome in heard(200, {"status": "requires_action"}):
        assert outcome == Pending(provider_reference="ch_1", provider_code="requires_action")
    for outcome in heard(200, {"status": "declined", "decline_code": "WAT"}):
        assert outcome == Declined(code=DeclineCode.DECLINED, provider_code="WAT", provider_reference="ch_1")


def test_an_answer_about_another_charge_proves_nothing(heard):
    assert all(isinstance(outcome, Ambiguous) for outcome in heard(200, {"reference": "other"}))


@pytest.mark.parametrize("status", [302, 403, 408, 409, 422, 429, 500, 502, 503, 504])
def test_other_statuses_prove_nothing(heard, status):
    assert all(outcome == Ambiguous(detail=f"HTTP {status}") for outcome in heard(status, content=b'{"error": "x"}'))


def test_refusals_are_about_the_request(heard):
    for status, code in ((400, DeclineCode.INVALID_REQUEST), (401, DeclineCode.CONFIGURATION)):
        charge, query = heard(status, content=b'{"error": "x"}')
        assert charge == Declined(code=code, provider_code=str(status))
        assert query == Ambiguous(detail=f"HTTP {status}")


def test_only_the_sandboxs_own_word_is_absence(heard):
    assert heard(404, content=b'{"error": "charge_not_found"}')[1] == Absent()
    assert heard(404, content=b'{"error": "no_such_path"}')[1] == Ambiguous(detail="HTTP 404")
    assert heard(404, content=b'{"error": "charge_not_found"}')[0] == Ambiguous(detail="HTTP 404")


# --- Settings and the simulator's own rules -----------------------------------------------------------------------


def test_an_account_without_settings_is_enough():
    account = SPEC.settings()
    assert account.webhook_secret == webhook_secret_for(account.api_key)
    with pytest.raises(ConfigurationMissing):
        SPEC.base_url(account, False)
    assert SPEC.base_url(SPEC.settings(base_url="http://x"), False) == "http://x"


@pytest.mark.parametrize("currency", ["LSL", "JPY", "KWD", "USD", "CLF"])
async def test_currencies(sandbox, currency):
    assert currency in SPEC.currencies == CURRENCIES
    box = await sandbox()
    op = box.operation(currency=currency, amount=1)
    assert await box.charge(op) == succeeded(op)


async def test_refused_requests(sandbox):
    box = await sandbox()
    post = {
        "reference": "r1",
        "payment": "p",
        "amount": 0,
        "currency": "LSL",
        "method": {"type": "x"},
        "callback_url": "",
        "return_url": "",
    }
    assert (await box.sim.post("/v1/charges", post)).status_code == 400
    assert (await box.sim.post("/v1/charges", {**post, "amount": 1})).status_code == 401
    assert (await box.sim.get("/nowhere")).status_code == 404
    too_big = msgspec.json.encode({**post, "payment": "x" * BODY_LIMIT})
    with pytest.raises(httpx.RemoteProtocolError):
        async with httpx.AsyncClient() as client:
            await client.post(f"{box.sim.url}/v1/charges", content=too_big)


async def test_a_reference_belongs_to_one_operation(sandbox):
    box = await sandbox()
    op = box.operation()
    await box.charge(op)
    assert await box.charge(msgspec.structs.replace(op, id="op_other")) == Ambiguous(detail="HTTP 409")
    assert len(await box.charges(op)) == 1


async def test_a_secret_of_ones_own(sandbox, receiver, settings, now):
    box = await sandbox()
    own = Secret("whsec_" + base64.b64encode(b"own").decode())
    shown = await box.sim.post("/_simulator/secrets", {"api_key": "sk_one"})
    assert shown.json()["secret"] == webhook_secret_for("sk_one")
    await box.sim.post("/_simulator/secrets", {"api_key": "sk_one", "secret": own})
    await box.charge(box.operation("001", callback_url=receiver.url))
    [request] = await receiver.wait(1)
    SPEC.callback.verify(received(request, at=now()), settings("sandbox", webhook_secret=own))
