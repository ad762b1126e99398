"""pawaPay: what is sent, what is doubted, whom callbacks convince, and its simulator's rules."""

import asyncio
import re
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from providers.contract import (
    CallbackRequest,
    Declined,
    MobileMoney,
    Pending,
    Secret,
    SignatureInvalid,
    Succeeded,
    Verb,
)
from providers.declines import DeclineCode
from providers.pawapay import SPEC, spec
from providers.pawapay.cases import ACCOUNT, CHARGE, PAYOUT, QUERY, REFUND, answer, found, reason
from providers.pawapay.protocol import PUBLIC_KEY

AMOUNT = re.compile(r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?$")  # pawaPay's own pattern
SIGNED = {"signing": "required", "public_key": PUBLIC_KEY}


def sent(operation, account=ACCOUNT):
    request = next(SPEC.verbs[operation.verb].flow(operation, account))
    return request.method, request.path, msgspec.json.decode(request.content)


def test_a_deposit():
    wallet = {"type": "MMO", "accountDetails": {"phoneNumber": "26658123000", "provider": "MPESA_LSO"}}
    known = {"depositId": CHARGE.reference, "amount": "150", "currency": "LSL", "clientReferenceId": CHARGE.payment}
    body = {**known, "payer": wallet, "customerMessage": "Order 1001 shoes size"}
    assert sent(CHARGE) == ("POST", "/v2/deposits", body)


def test_a_payout_and_a_refund():
    path, body = sent(PAYOUT)[1:]
    assert (path, body["payoutId"], "customerMessage" in body) == ("/v2/payouts", PAYOUT.reference, False)
    assert body["recipient"]["accountDetails"] == {"phoneNumber": "26658123000", "provider": "MPESA_LSO"}
    known = {"refundId": REFUND.reference, "depositId": CHARGE.reference, "clientReferenceId": CHARGE.payment}
    assert sent(replace(REFUND, amount=50)) == ("POST", "/v2/refunds", {**known, "amount": "0.5", "currency": "LSL"})


@pytest.mark.parametrize(
    ("amount", "text"), [(15000, "150"), (1050, "10.5"), (1001, "10.01"), (1, "0.01"), (10, "0.1")]
)
def test_amounts_have_no_zero_at_the_end(amount, text):
    stated = sent(replace(CHARGE, amount=amount))[2]["amount"]
    assert stated == text
    assert AMOUNT.fullmatch(stated)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("Order 7", "Order 7"),
        ("a" * 30, "a" * 22),
        ("Café — №5, to go", "Caf 5 to go"),
        ("abc", None),
        ("!!!!!!", None),
        (None, None),
    ],
)
def test_of_a_description_the_payer_reads_what_is_allowed(description, message):
    assert sent(replace(CHARGE, description=description))[2].get("customerMessage") == message


@pytest.mark.parametrize(("phone", "currency"), [("+26658123000", "KES"), ("+27821234567", "ZAR"), ("+1", "LSL")])
@pytest.mark.parametrize("verb", [Verb.CHARGE, Verb.PAYOUT])
def test_what_no_network_takes_is_refused_before_it_is_sent(phone, currency, verb):
    flow = SPEC.verbs[verb].flow(
        replace(CHARGE, verb=verb, method=MobileMoney(phone=phone), currency=currency), ACCOUNT
    )
    with pytest.raises(StopIteration) as ended:
        next(flow)
    assert ended.value.value.code is DeclineCode.INVALID_REQUEST


def test_every_network_is_in_its_country(operation):
    phones = {"LS": "+26658123456", "KE": "+254712345678", "ET": "+251911234567"}
    assert set(phones) == spec.COUNTRIES
    for phone in phones.values():
        network, currency = spec.NETWORKS[phone[1:4]]
        body = sent(operation("pawapay", method=MobileMoney(phone=phone), currency=currency))[2]
        assert body["payer"]["accountDetails"]["provider"] == network


def heard(operation, body):
    flow = SPEC.verbs[operation.verb].flow(operation, ACCOUNT)
    next(flow)
    with pytest.raises(StopIteration) as ended:
        flow.send(answer(body))
    return ended.value.value


@pytest.mark.parametrize("status", ["FAILED", "REJECTED"])
def test_an_unknown_error_ends_nothing(status):
    """ "Do not assume failure": whatever it stands beside."""
    said = found(CHARGE, status, failureReason=reason("UNKNOWN_ERROR"))
    assert heard(QUERY, said) == Pending(provider_code="UNKNOWN_ERROR")


# --- Accounts and callbacks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"api_token": "t"},
        {"api_token": "t", "signing": "sometimes"},
        {"api_token": "t", "signing": "required"},
        {"api_token": "t", "signing": "required", "public_key": "-----BEGIN"},
        {"api_token": "t", "signing": "optional", "public_key": ""},
    ],
)
def test_settings_that_could_verify_nothing(settings):
    with pytest.raises(msgspec.ValidationError):
        configured(settings)


def configured(settings):
    return msgspec.convert(settings, spec.PawaPayAccount, dec_hook=lambda kind, value: kind(value))


def test_settings_that_can():
    assert configured({"api_token": "t", "signing": "optional"}).public_key is None
    assert configured({"api_token": "t", **SIGNED}).public_key == PUBLIC_KEY


def test_an_account_decides_whether_callbacks_are_proof():
    assert SPEC.callback.of(ACCOUNT).verify is not None
    optional = SPEC.callback.of(replace(ACCOUNT, signing="optional"))
    assert (optional.verify, optional.headers) == (None, SPEC.callback.of(ACCOUNT).headers)


async def check(caller, sim, token):
    account = spec.PawaPayAccount(api_token=Secret(token), signing="optional")
    return await caller("pawapay", account, sim.url).call(SPEC.check(account, "https://x"), deadline_s=5)


async def test_the_check_tells_a_good_token_from_a_bad_one(simulator, caller):
    sim = await simulator("pawapay")
    assert isinstance(await check(caller, sim, "good"), Succeeded)
    assert await check(caller, sim, "bad") == Declined(code=DeclineCode.CONFIGURATION, provider_code="403")


# --- The simulator ----------------------------------------------------------------------------------------------------


async def called_back(simulator, receiver, operation, digits, count, verb=Verb.CHARGE, **fields):
    """A transaction at a simulator whose dashboard knows where callbacks go, and its first callbacks."""
    sim = await simulator("pawapay", **fields)
    await sim.post("/_simulator/callbacks", {"api_key": "pawapay-token", "url": receiver.url})
    made = operation("pawapay", verb, digits=digits)
    assert isinstance(await sim.perform(made), Pending)
    requests = await receiver.wait(count)
    return sim, made, [judged(request, receiver) for request in requests]


def judged(request, receiver):
    """What a callback says, or "forged"."""
    callback = SPEC.callback.of(ACCOUNT)
    kept = {name: value for name, value in request.headers.items() if name in callback.headers}
    at = datetime.now(UTC)
    received = CallbackRequest(
        method="POST", query="", headers=kept, body=request.content, received_at=at, url=receiver.url
    )
    try:
        callback.verify(received, replace(ACCOUNT, **SIGNED))
    except SignatureInvalid:
        return "forged"
    return callback.parse(received)[0]


@pytest.mark.parametrize(("digits", "verb"), [("789", Verb.CHARGE), ("789", Verb.PAYOUT), ("021", Verb.CHARGE)])
async def test_callbacks_are_signed(simulator, receiver, operation, digits, verb):
    sim, made, [notice] = await called_back(simulator, receiver, operation, digits, 1, verb)
    assert (notice.reference, notice.outcome.amount, notice.outcome.currency) == (made.reference, 15000, "LSL")
    kind = "charges" if verb is Verb.CHARGE else "payouts"
    [money] = (await sim.ledger(reference=made.reference))[kind]
    assert (money["id"], money["payment"]) == (notice.provider_reference, made.payment)


async def test_a_callback_may_be_forged(simulator, receiver, operation):
    _, _, [lie, truth] = await called_back(simulator, receiver, operation, "016", 2)
    assert lie == "forged"
    assert isinstance(truth.outcome, Succeeded)


async def test_callbacks_may_be_repeated_and_out_of_order(simulator, receiver, operation):
    _, made, notices = await called_back(simulator, receiver, operation, "012", 5)
    assert [type(one.outcome) for one in notices] == [Succeeded, Pending, Succeeded, Pending, Succeeded]
    assert {one.reference for one in notices} == {made.reference}


async def test_a_failure_may_be_followed_by_a_late_success(simulator, receiver, operation):
    _, _, notices = await called_back(simulator, receiver, operation, "014", 2)
    assert [type(one.outcome) for one in notices] == [Declined, Succeeded]


async def test_one_refund_at_a_time_and_none_of_what_is_not_paid(simulator, operation, follow_up, tmp_path):
    sim, paid, unpaid = await simulator("pawapay"), operation("pawapay"), operation("pawapay", digits="129")
    for deposit in (paid, unpaid):
        await sim.perform(deposit)
    while not isinstance(await sim.perform(follow_up("pawapay", Verb.QUERY, paid)), Succeeded):
        await asyncio.sleep(0.01)
    slow = await simulator("pawapay", pace=1000, directory=tmp_path)  # with the same memory; no refund ends
    refunds = [follow_up("pawapay", Verb.REFUND, target, amount=1) for target in (unpaid, paid, paid)]
    outcomes = [await slow.perform(refund) for refund in refunds]
    assert [getattr(one, "provider_code", None) for one in outcomes] == ["INVALID_STATE", None, "REFUND_IN_PROGRESS"]


async def test_an_id_that_was_received_is_ignored_also_after_a_restart(simulator, operation, tmp_path):
    deposit = operation("pawapay", digits="789")
    sim = await simulator("pawapay")
    await sim.perform(deposit)
    again = await simulator("pawapay", directory=tmp_path)
    assert await again.perform(deposit) == Pending()
    assert len((await again.ledger(reference=deposit.reference))["requests"]) == 2
