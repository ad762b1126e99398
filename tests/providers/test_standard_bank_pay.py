"""Standard Bank Pay: what is sent, what a real bank can change by settings alone, and its simulator."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import asdict, replace

from providers.contract import Absent, ActionRequired, Ambiguous, Declined, Pending, Secret, Succeeded, Unknown, Verb
from providers.declines import DeclineCode
from providers.standard_bank_pay import SPEC, spec
from providers.standard_bank_pay.cases import ACCOUNT, CHARGE, OTHER, QUERY, REF, answer


def sent(operation, account=ACCOUNT):
    return next(SPEC.verbs[operation.verb].flow(operation, account))


def test_a_payment_is_begun_as_its_users_know_it():
    request = sent(CHARGE)
    assert (request.method, request.path) == ("POST", "/api/v1/payments/initiate")
    assert request.headers["x-sbp-request-id"] == CHARGE.reference
    body = {"amount_cents": 15000, "currency": "LSL", "customer": {"msisdn": "26658123000"}}
    assert msgspec.json.decode(request.content) == {**body, "callback_url": CHARGE.callback_url}
    assert sent(QUERY).path == f"/api/v1/payments/{REF}/status"


def test_the_other_spelling_that_was_seen():
    account = replace(ACCOUNT, paths={"request_currency": "currency_code", "request_phone": "payer.msisdn"})
    body = msgspec.json.decode(sent(CHARGE, account).content)
    assert (body["currency_code"], body["payer"]) == ("LSL", {"msisdn": "26658123000"})


def test_another_bank_by_settings_alone():
    request = sent(replace(CHARGE, amount=1999), OTHER)
    known = {"payer": {"msisdn": "26658123000"}, "endToEndId": CHARGE.reference, "callback_url": CHARGE.callback_url}
    body = {"instructedAmount": {"amount": "19.99", "currency": "LSL"}, **known}
    assert (request.path, msgspec.json.decode(request.content)) == ("/pay", body)


@pytest.mark.parametrize(
    ("written", "paths", "base"),
    [
        ("https://bank.example", {}, "https://bank.example"),
        ("https://bank.example/api/v1/", {}, "https://bank.example"),
        ("https://bank.example/api/v1", {"initiate": "/payments"}, "https://bank.example/api/v1"),
    ],
)
def test_the_beginning_of_the_paths_is_not_written_twice(written, paths, base):
    assert SPEC.base_url(replace(ACCOUNT, base_url=written, paths=paths), True) == base


def test_the_name_of_a_payment_cannot_leave_its_place():
    known = replace(CHARGE, provider_reference="../../admin?x=1")
    path = sent(replace(QUERY, target=known)).path
    assert path == "/api/v1/payments/..%2F..%2Fadmin%3Fx%3D1/status"


@pytest.mark.parametrize(
    "changed",
    [{"paths": {"statas": "x"}}, {"status_words": {"OK": "fine"}}, {"signature_scheme": "rot13"}, {"amounts": "float"}],
)
def test_settings_that_mean_nothing(changed):
    assert configured({}) == ACCOUNT
    with pytest.raises(msgspec.ValidationError):
        configured(changed)


def configured(changed):
    settings = {**asdict(ACCOUNT), **changed}
    return msgspec.convert(settings, spec.StandardBankPayAccount, dec_hook=lambda kind, value: kind(value))


def test_an_account_decides_about_its_callbacks():
    none = SPEC.callback.of(replace(ACCOUNT, webhook_secret=None))
    standard = SPEC.callback.of(ACCOUNT)
    named = SPEC.callback.of(replace(ACCOUNT, signature_scheme="body", signature_header="X-Bank-HMAC"))
    assert none.verify is None
    assert standard.verify is not None
    assert "webhook-signature" in standard.headers
    assert named.headers == ("x-bank-hmac",)


def test_the_guide_names_every_path_and_word():
    guide = (Path(__file__).parents[2] / "docs/guides/connect-a-bank.md").read_text(encoding="utf-8")
    settings = {*spec.StandardBankPayAccount.__struct_fields__, *spec.PATHS, *get_args(spec.Meaning)}
    assert [name for name in sorted(settings) if f"`{name}`" not in guide] == []
    assert [path for path in spec.PATHS.values() if path and f"`{path}`" not in guide] == []
    example = msgspec.json.decode(guide.split("```json")[1].split("```")[0])
    assert configured(example).path("state") == "data.0.status"


def heard(body, account, operation=QUERY, status=200):
    flow = SPEC.verbs[operation.verb].flow(operation, account)
    next(flow)
    with pytest.raises(StopIteration) as ended:
        flow.send(answer(body, status))
    return ended.value.value


@pytest.mark.parametrize(
    ("amounts", "written", "minor"),
    [
        ("minor", b"15000", 15000),
        ("minor", b'"15000"', 15000),
        ("major", b"150", 15000),
        ("major", b"150.0", 15000),
        ("major", b"19.99", 1999),
        ("major", b"90071992547409.93", 9007199254740993),  # as a float it ends in .94
        ("major", b"9999999999999.99", 999999999999999),
        ("major", b'"150.0000"', 15000),
        ("major", b"null", None),
    ],
)
def test_stated_amounts_are_read_exactly(amounts, written, minor):
    account = replace(ACCOUNT, amounts=amounts, paths={"amount": "paid"})
    outcome = heard(b'{"processing_state": "SETTLED", "paid": %s}' % written, account)
    assert outcome == Succeeded(provider_reference=REF, amount=minor)


@pytest.mark.parametrize("written", [b'"much"', b"[]", b'"1,50"', b"1e400", b"1.999", b"{}"])
@pytest.mark.parametrize("amounts", ["minor", "major"])
def test_an_amount_that_cannot_be_read_proves_nothing(amounts, written):
    account = replace(ACCOUNT, amounts=amounts, paths={"amount": "paid"})
    with pytest.raises(msgspec.ValidationError):
        heard(b'{"processing_state": "SETTLED", "paid": %s}' % written, account)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x", "", 7, None, "/approve"])
def test_only_a_web_address_is_one_to_approve_at(url):
    body = {"processing_state": "AWAITING_CUSTOMER", "sbp_txn_ref": REF, "approval_url": url}
    assert heard(body, ACCOUNT, CHARGE, 201) == Pending(provider_reference=REF, awaits_payer=True)


# --- At the simulator -------------------------------------------------------------------------------------------------


async def test_every_way_to_authorize(simulator, operation):
    sim = await simulator("standard_bank_pay")
    for way in ("bearer", "basic", "client_credentials"):
        outcome = await sim.perform(operation("standard_bank_pay", digits="000"), authorization=way)
        assert isinstance(outcome, Succeeded), way
    refused = await sim.perform(operation("standard_bank_pay"), api_key=Secret("bad"))
    assert refused.code is DeclineCode.CONFIGURATION


async def test_a_repeated_request_is_charged_again(simulator, operation):
    """Nothing is promised about it: this is what makes "sent once" worth testing."""
    sim, charge = await simulator("standard_bank_pay"), operation("standard_bank_pay", digits="000")
    for _ in range(2):
        await sim.perform(charge)
    assert len((await sim.ledger(reference=charge.reference))["charges"]) == 2


async def test_what_was_charged_without_an_answer_is_not_found_by_our_name(simulator, operation, follow_up):
    sim, charge = await simulator("standard_bank_pay"), operation("standard_bank_pay", digits="005")
    assert isinstance(await sim.perform(charge, deadline_s=0.3), Unknown)
    query = follow_up("standard_bank_pay", Verb.QUERY, charge)
    assert await sim.perform(query) == Ambiguous(detail="HTTP 404")
    assert len((await sim.ledger(reference=charge.reference))["charges"]) == 1


async def test_the_mocks_own_approval(simulator, operation, follow_up):
    sim, charge = await simulator("standard_bank_pay"), operation("standard_bank_pay", digits="004")
    begun = await sim.perform(charge)
    assert isinstance(begun, ActionRequired)
    assert (await sim.post(f"/__simulate__/webhook/{begun.provider_reference}")).status_code == 200
    query = follow_up("standard_bank_pay", Verb.QUERY, replace(charge, provider_reference=begun.provider_reference))
    assert isinstance(await sim.perform(query), Succeeded)


async def test_the_check_tells_good_credentials_from_bad_ones(simulator, caller):
    sim = await simulator("standard_bank_pay")
    for key, expected in (("good", Absent()), ("bad", Declined(code=DeclineCode.CONFIGURATION, provider_code="401"))):
        account = replace(ACCOUNT, api_key=Secret(key))
        flow = SPEC.check(account, "https://x")
        assert await caller("standard_bank_pay", account, sim.url).call(flow, deadline_s=5) == expected
