"""Reading what was accepted, from either process; headers and credentials."""

import re
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from gateway import ids
from tests.accept.answers import decoded
from tests.accept.twins import BODY, Api, Merchant, Twins
from tests.http.wire import Answer, Wire

pytestmark = pytest.mark.xdist_group("twins")


# --- One payment ------------------------------------------------------------------------------------------------------


def test_what_is_accepted_can_be_read_at_once_from_the_other_process(twins: Twins, merchant: Merchant) -> None:
    clients = twins.both(merchant)
    for number in range(200):
        accepted = clients[number % 2].pay()
        read = clients[1 - number % 2].get(accepted.headers["location"])
        assert (read.status, read.body) == (200, accepted.body)


def test_the_object_is_the_documented_one(twins: Twins, merchant: Merchant) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    payment = decoded(twins.first(merchant).pay(body={**BODY, "expires_in": 600, "metadata": {"cart": "77"}}))
    created, expires = (datetime.fromisoformat(payment[name]) for name in ("created_at", "expires_at"))
    assert before < created < datetime.now(UTC) + timedelta(seconds=1)
    assert expires - created == timedelta(minutes=10)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", payment["created_at"])
    assert re.fullmatch(r"pay_[0-9a-hjkmnp-tv-z]{26}", payment["id"])
    assert payment | dict.fromkeys(("id", "created_at", "updated_at", "expires_at")) == {
        "id": None,
        "object": "payment",
        "livemode": False,
        "status": "pending",
        "amount": 15000,
        "currency": "LSL",
        "amount_captured": 0,
        "amount_refunded": 0,
        "country": "LS",
        "capture": "automatic",
        "method": {"type": "mobile_money", "phone": "+26658123456"},
        "description": None,
        "reference": None,
        "metadata": {"cart": "77"},
        "customer": {"name": None, "email": None},
        "return_url": None,
        "account": merchant.accounts["sandbox"],
        "provider": "sandbox",
        "provider_reference": None,
        "next_action": None,
        "failure": None,
        "review": None,
        "sequence": 1,
        "expires_at": None,
        "created_at": None,
        "updated_at": None,
    }


def test_ids_of_others_and_of_nothing_are_unknown(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    payment = decoded(first.pay())["id"]
    foreign = decoded(twins.first(twins.new_merchant()).pay())["id"]
    live = decoded(twins.first(merchant, live=True).pay())["id"]
    uuid = ids.read(ids.PAYMENT, payment)
    assert isinstance(uuid, UUID)
    unknown = [
        foreign, live, ids.show(ids.PAYMENT, ids.new()), ids.show(ids.EVENT, uuid), ids.show(ids.OPERATION, uuid),
        str(uuid), uuid.hex, payment.upper(), payment[:-1], payment + "0", payment.removeprefix("pay_"),
        "pay_" + "z" * 26, "0", "-1", "null", "%00", "%ff", "..", "%2e%2e%2f", "pay_" + "0" * 10_000,
        quote("pay_\u202e"), quote("' or 1=1 --"),
    ]  # fmt: skip
    for text in unknown:
        for path in (f"/v1/payments/{text}", f"/v1/payments/{text}/"):
            answer = twins.second(merchant).get(path)
            assert (answer.status, answer.code) == (404, "not_found"), text
        confirmed = first.raw(first.bytes_of("POST", f"/v1/payments/{text}/confirm", {"otp": "1"}, key="key"))
        assert (confirmed.status, confirmed.code) == (404, "not_found"), text
    assert twins.second(merchant, live=True).get(f"/v1/payments/{payment}").code == "not_found"


# --- Headers and credentials ------------------------------------------------------------------------------------------


def test_every_answer_names_its_request_and_tells_its_time(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    stranger = Api(first.port, 0, "nobody")
    answers = [
        first.pay(), first.pay(body=b"{"), first.pay("a b"), first.get("/v1/payments"), first.get("/v1/payments/pay_x"),
        first.get("/nowhere"), first.raw(first.bytes_of("DELETE", "/v1/payments")), stranger.pay(),
        first.get("/health/live"), first.get("/metrics"),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [201, 400, 400, 200, 404, 404, 405, 401, 200, 200]
    for answer in answers:
        assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["request-id"])
        timing = re.fullmatch(r"app;dur=([\d.]+), db;dur=([\d.]+), queue;dur=([\d.]+)", answer.headers["server-timing"])
        assert timing is not None
        app, database, queue = map(float, timing.groups())
        assert app >= database + queue - 0.2
    assert float(answers[0].headers["server-timing"].split("db;dur=")[1].split(",")[0]) > 0
    assert len({answer.headers["request-id"] for answer in answers}) == len(answers)
    assert first.pay(Request_Id="mine-1").headers["request-id"] == "mine-1"
    assert "allow" in answers[6].headers
    assert answers[7].headers["www-authenticate"] == "Bearer"


def test_credentials(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    key = first.credential
    location = first.pay().headers["location"]
    good = ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"X-API_Key": key})
    for headers in good:
        assert ask(first, location, headers).status == 200
    bad: list[dict[str, str]] = [
        {}, {"Authorization": key}, {"Authorization": f"Basic {key}"}, {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {key[:-1]}"}, {"Authorization": f"Bearer {key}x"},
        {"Authorization": f"Bearer {key.lower()}"}, {"Authorization": f"Bearer {key.replace('test', 'live')}"},
        {"X-API-Key": ""}, {"X-API-Key": key, "X-API_Key": key}, {"Cookie": f"key={key}"},
    ]  # fmt: skip
    for headers in bad:
        answer = ask(first, location, headers)
        assert (answer.status, answer.code) == (401, "unauthorized"), headers
        assert key[8:] not in answer.body.decode()
    assert ask(first, f"{location}?api_key={key}", {}).status == 401


def ask(wire: Wire, path: str, headers: dict[str, str]) -> Answer:
    """GET with exactly these headers."""
    return wire.ask("GET", path, headers=headers.items())


def test_a_revoked_key_is_refused_within_five_seconds(twins: Twins, merchant: Merchant) -> None:
    clients = twins.both(merchant)
    assert [client.pay().status for client in clients] == [201, 201]
    revoked = time.monotonic()
    twins.database.fetch("update api_keys set revoked_at = now() where merchant_id = $1 and not livemode", merchant.id)
    for client in clients:
        while client.get("/v1/payments").status == 200:
            assert time.monotonic() < revoked + 5
            time.sleep(0.1)
        assert client.pay().code == "unauthorized"
    assert twins.first(merchant, live=True).pay().status == 201


def test_what_was_made_a_moment_ago_works_on_every_process(twins: Twins, merchant: Merchant) -> None:
    for client in twins.both(merchant):  # both remember the accounts as they are
        assert client.pay(body={**BODY, "provider": "cpay", "currency": "ZAR"}).code == "no_route"
        named = twins.new_account(merchant)
        assert decoded(client.pay(body={**BODY, "account": named}))["account"] == named
    newcomer = twins.new_merchant()
    for client in twins.both(newcomer):
        assert client.pay().status == 201


def test_a_first_account_works_on_every_process(twins: Twins, merchant: Merchant) -> None:
    twins.database.fetch("update accounts set provider = 'cpay' where merchant_id = $1", merchant.id)
    card = {**BODY, "method": {"type": "card", "token": "tok_ok"}}
    for client in twins.both(merchant):
        assert client.pay(body=card).code == "no_route"
    made = twins.new_account(merchant, priority=0)
    for client in twins.both(merchant):
        assert decoded(client.pay(body=card))["account"] == made
