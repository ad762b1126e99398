"""The thirteen defects of the service that MyPay replaces, as far as they concern what exists: one test for each.

Numbers and words are those of the study of that service. What is tested in depth elsewhere is tested here once, over
HTTP, against a whole installation.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from providers.contract import Secret
from providers.registry import PROVIDERS
from providers.sandbox.spec import SandboxAccount
from tests.accept.twins import BODY, Database
from tests.engine.calling_back import charge_said, signed
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("seed")


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A whole installation; a provider's 30 seconds last one and a half."""
    with installation(parts, tmp_path_factory.mktemp("seed")) as running:
        yield running


@pytest.fixture(scope="module")
def database(mypay: Installation) -> Iterator[Database]:
    """Its tables."""
    tables = Database(mypay.settings.database_uri)
    yield tables
    tables.close()


Pay = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def pay(mypay: Installation) -> Iterator[Pay]:
    """POST /v1/payments at the sandbox; `ends` are the last digits of the phone, which decide what happens."""
    with httpx.Client(base_url=mypay.base_url, timeout=40) as client:

        def post(key: str | None = None, *, ends: str = "000", wait: int = 0, **members: Any) -> httpx.Response:
            body = (
                BODY
                | {"provider": "sandbox", "method": {"type": "mobile_money", "phone": f"+26658123{ends}"}}
                | members
            )
            return client.post("/v1/payments", json=body, headers=mypay.headers(key, Prefer=f"wait={wait}"))

        yield post


def charges(mypay: Installation, payment: str) -> int:
    """How often the provider has charged, by its own ledger."""
    ledger = httpx.get(f"{mypay.simulators['sandbox']}/_simulator/ledger", params={"payment": payment})
    return len(ledger.json()["charges"])


def read(mypay: Installation, payment: str) -> dict[str, Any]:
    """The payment as it is now."""
    return dict(httpx.get(f"{mypay.base_url}/v1/payments/{payment}", headers=mypay.headers()).json())


def call_back(mypay: Installation, database: Database, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """A callback to the sandbox account's address."""
    (account,) = database.fetch("select callback_token from accounts where provider = 'sandbox'")
    address = f"{mypay.base_url}/callbacks/sandbox/{account['callback_token']}"
    return httpx.post(address, content=body, headers=headers, timeout=10)


def handled(database: Database, event: str) -> str:
    """What became of a callback with this event's id in its body."""
    sql = "select result from callbacks where position($1::bytea in body) > 0 and state = 'processed'"
    deadline = time.monotonic() + 15
    while not (rows := database.fetch(sql, event.encode())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(rows[0]["result"])


def reference(database: Database, payment: str) -> str:
    """Our name for the payment's charge at the provider."""
    sql = """select o.reference from operations o join events e on e.root_id = o.payment_id
              where o.verb = 'charge' and position($1::bytea in e.body) > 0 limit 1"""
    return str(database.fetch(sql, payment.encode())[0]["reference"])


# --- 1 to 4: idempotency and amounts ----------------------------------------------------------------------------------


def test_1_no_stored_answer_is_served_before_authentication_or_to_another_merchant(
    mypay: Installation, pay: Pay
) -> None:
    first = pay("defect-1")
    for headers in ({}, {"Authorization": "Bearer sk_test_nobody"}):
        stranger = httpx.post(
            f"{mypay.base_url}/v1/payments", json=BODY, headers={"Idempotency-Key": "defect-1", **headers}
        )
        assert stranger.status_code == 401
        assert first.json()["id"] not in stranger.text


def test_2_one_key_at_the_same_time_charges_once(mypay: Installation, pay: Pay) -> None:
    with ThreadPoolExecutor(20) as at_once:
        answers = list(at_once.map(lambda _: pay("defect-2"), range(20)))
    (payment,) = {answer.json()["id"] for answer in answers}
    assert pay("defect-2", wait=20).json()["status"] == "succeeded"
    assert charges(mypay, payment) == 1


def test_3_a_key_is_bound_to_its_request_and_errors_are_not_kept(pay: Pay) -> None:
    assert pay("defect-3", amount=0).status_code == 400
    assert pay("defect-3").status_code == 201
    assert pay("defect-3", amount=1).status_code == 422


def test_4_an_amount_is_never_a_float(pay: Pay) -> None:
    assert [pay(amount=amount).status_code for amount in (150.0, 1.5, "150.00")] == [400, 400, 400]
    accepted = pay(amount=999_999_999_999_999)
    assert b'"amount":999999999999999,' in accepted.content


# --- 5 to 9: what providers say ---------------------------------------------------------------------------------------


def test_5_a_callback_without_a_good_signature_has_no_effect(mypay: Installation, database: Database, pay: Pay) -> None:
    payment = pay(ends="004").json()["id"]
    name = reference(database, payment)
    anothers = SandboxAccount(webhook_secret=Secret("whsec_b3RoZXI="))
    for event in ("evt_unsigned", "evt_forged"):
        body = charge_said(name, "succeeded", event=event)
        call_back(mypay, database, body, signed(body, anothers) if event == "evt_forged" else {})
        assert handled(database, event) == "forged"
        assert read(mypay, payment)["status"] in ("pending", "processing")


def test_6_nothing_about_callbacks_or_dead_letters_is_told_without_a_key(mypay: Installation) -> None:
    """Nor anything else: every operation of the document that does not say that it is for anybody."""
    described = httpx.get(f"{mypay.base_url}/openapi.json").json()["paths"]
    asked = [
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, operations in described.items()
        for method, operation in operations.items()
        if operation.get("security") != []
    ]
    assert {("GET", "/v1/callbacks"), ("GET", "/v1/dead_letters"), ("POST", "/v1/dead_letters/x/replay")} <= set(asked)
    with httpx.Client(base_url=mypay.base_url) as client:
        for headers in ({}, {"Authorization": "Bearer sk_test_nobody"}):
            statuses = {client.request(method, path, json={}, headers=headers).status_code for method, path in asked}
            assert statuses == {401}


def test_7_repeated_and_late_callbacks_change_nothing(mypay: Installation, database: Database, pay: Pay) -> None:
    done = pay(wait=20).json()
    assert done["status"] == "succeeded"
    name = reference(database, done["id"])
    late = charge_said(name, "pending", event="evt_defect_7", id=done["provider_reference"])
    for _ in range(3):
        call_back(mypay, database, late, signed(late, SandboxAccount()))
    handled(database, "evt_defect_7")
    assert read(mypay, done["id"]) == done


def test_8_a_callback_that_could_not_be_kept_is_not_acknowledged(
    mypay: Installation, database: Database, pay: Pay
) -> None:
    body = charge_said(reference(database, pay(ends="004").json()["id"]), "declined", event="evt_defect_8")
    database.fetch("begin")
    database.fetch("lock table callbacks in access exclusive mode")
    refused = call_back(mypay, database, body, signed(body, SandboxAccount()))
    database.fetch("rollback")
    assert refused.status_code == 503
    repeated = call_back(mypay, database, body, signed(body, SandboxAccount()))
    assert repeated.status_code == 200
    assert handled(database, "evt_defect_8") == "applied"


def test_9_a_timeout_is_not_a_failure(mypay: Installation, pay: Pay) -> None:
    """The provider charges and never answers: the payment is asked about, and succeeded; it is not charged again."""
    payment = pay(ends="005", wait=30).json()
    assert payment["status"] == "succeeded"
    assert charges(mypay, payment["id"]) == 1


# --- 10 to 13: keys, names, limits, and how it is built ---------------------------------------------------------------


def test_10_no_key_is_stored_as_it_is_and_none_is_padded_with_zeros(mypay: Installation, database: Database) -> None:
    stored = database.fetch("select k::text as row from api_keys k union all select s::text from account_settings s")
    secret = str(SandboxAccount().webhook_secret).removeprefix("whsec_")
    dumped = "".join(row["row"] for row in stored)
    for plain in (mypay.api_key, secret, secret.encode().hex()):
        assert plain not in dumped
    short, padded = (
        Settings(secret_key=Secret(text), jwt_secret_key=Secret("j"), database_uri=Secret("d")) for text in ("s", "s\0")
    )
    keys = [settings.key(purpose) for settings in (short, padded) for purpose in ("seal", "other")]
    assert len(set(keys)) == 4
    assert all(len(key) == 32 and b"\0\0" not in key for key in keys)


def test_11_a_provider_is_found_by_the_name_it_shows_and_every_route_takes_the_same_credentials(
    mypay: Installation, pay: Pay
) -> None:
    assert all(name == name.lower() for name in PROVIDERS)
    payment = pay().json()
    for provider in mypay.accounts:
        assert pay(provider=provider).json()["provider"] == provider
    for name, value in (
        ("Authorization", f"Bearer {mypay.api_key}"),
        ("X-API-Key", mypay.api_key),
        ("X-API_Key", mypay.api_key),
    ):
        headers = {name: value, "Idempotency-Key": uuid.uuid4().hex}
        statuses = [
            httpx.post(f"{mypay.base_url}/v1/payments", json=BODY, headers=headers).status_code,
            httpx.get(f"{mypay.base_url}/v1/payments/{payment['id']}", headers=headers).status_code,
            httpx.post(f"{mypay.base_url}/v1/payments/{payment['id']}/verify", headers=headers).status_code,
        ]
        assert statuses == [201, 200, 200]


def test_12_who_a_client_says_it_is_decides_nothing(mypay: Installation) -> None:
    spoofed = {"X-Forwarded-For": "203.0.113.77", "X-Real-IP": "203.0.113.77", "Forwarded": "for=203.0.113.77"}
    answer = httpx.post(f"{mypay.base_url}/v1/payments", json=BODY, headers=spoofed)
    assert answer.status_code == 401
    assert "203.0.113.77" not in mypay.processes["api"].log


def test_13_no_provider_is_waited_for_in_a_request(mypay: Installation, pay: Pay) -> None:
    mypay.processes["simulators"].stop()
    try:
        accepted = pay()
    finally:
        mypay.processes["simulators"].cont()
    assert (accepted.status_code, accepted.json()["status"]) == (201, "pending")


def test_13_every_time_has_its_zone(database: Database) -> None:
    naive = (
        "select table_name, column_name from information_schema.columns where data_type = 'timestamp without time zone'"
    )
    assert database.fetch(f"{naive} and table_schema = 'public'") == []


def test_13_the_interface_is_described(mypay: Installation) -> None:
    described = httpx.get(f"{mypay.base_url}/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert "/v1/payments" in described["paths"]


# --- And its paths ----------------------------------------------------------------------------------------------------


def test_the_former_paths_say_where_to_go_and_move_nothing(mypay: Installation, database: Database, pay: Pay) -> None:
    payment = pay().json()
    written = "select count(*) from payments"
    before = database.fetch(written)
    body = {"provider": "sandbox", "amount": 150.00, "currency": "LSL", "customer": {"phone": "+26658123000"}}
    with httpx.Client(base_url=mypay.base_url, headers={"X-API-Key": mypay.api_key}) as client:
        refused = client.post("/api/v1/payments/initialize", json=body)
        assert (refused.status_code, refused.json()["code"]) == (410, "gone")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "minor units" in refused.json()["detail"]
        read = client.get(f"/api/v1/payments/{payment['id']}")
        looked = client.get(f"/api/v1/payments/{payment['id']}/verify")
        verified = client.post(f"/api/v1/payments/{payment['id']}/verify")
        for answer, successor in (
            (refused, "/v1/payments"),
            (read, f"/v1/payments/{payment['id']}"),
            (looked, f"/v1/payments/{payment['id']}"),
            (verified, f"/v1/payments/{payment['id']}/verify"),
        ):
            assert re.fullmatch(r"@\d{10}", answer.headers["deprecation"])
            assert f'<{successor}>; rel="successor-version"' in answer.headers["link"]
            assert answer is refused or (answer.status_code, answer.headers["location"]) == (308, successor)
        followed = client.get(f"/api/v1/payments/{payment['id']}", follow_redirects=True)
        assert (followed.status_code, followed.json()["id"]) == (200, payment["id"])
        followed = client.post(f"/api/v1/payments/{payment['id']}/verify", follow_redirects=True)
        assert followed.status_code == 200
        for unknown in (str(uuid.uuid4()), "%0d%0aX-Evil:%201"):
            strange = client.get(f"/api/v1/payments/{unknown}")
            assert (strange.status_code, strange.json()["code"]) == (404, "not_found")
            assert "deprecation" in strange.headers
    assert httpx.get(read.url, follow_redirects=True).status_code == 401
    assert database.fetch(written) == before
