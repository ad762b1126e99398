"""What the sandbox says and how it is read, its settings, and what its simulator refuses."""

import base64

import httpx
import msgspec
import pytest

from providers.contract import (
    Absent,
    Ambiguous,
    ConfigurationMissing,
    Declined,
    Pending,
    Secret,
    Verb,
)
from providers.declines import DeclineCode
from providers.money import CURRENCIES
from providers.registry import PROVIDERS
from providers.sandbox.simulator import webhook_secret_for
from providers.simulation.server import BODY_LIMIT
from tests.providers.sandbox_kit import received, succeeded

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["sandbox"]


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
    assert heard(404, content=b'{"error": "transaction_not_found"}')[1] == Absent()
    assert heard(404, content=b'{"error": "no_such_path"}')[1] == Ambiguous(detail="HTTP 404")
    assert heard(404, content=b'{"error": "transaction_not_found"}')[0] == Ambiguous(detail="HTTP 404")


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
