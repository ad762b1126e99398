"""Limits over HTTP, with two API processes behind a proxy: of keys, addresses and declined cards; keys' addresses."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from gateway import ids
from gateway.payments.model import failure
from gateway.store.database import Connection
from providers.declines import DeclineCode
from tests.api.people import client, signed_in
from tests.api.tenants import Tenant, code, on_database
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

PER_KEY, PER_IP, DECLINES = 2, 4, 3
CARD = {"type": "card", "token": "tok_ok"}
PHONE = {"type": "mobile_money", "phone": "+26658123000"}


@pytest.fixture(scope="module")
def limited(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose API trusts this machine as its proxy."""
    environment = {
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "RATE_LIMIT_PER_KEY": str(PER_KEY),
        "RATE_LIMIT_PER_IP": str(PER_IP),
        "CARD_DECLINES_MOST": str(DECLINES),
    }
    directory = tmp_path_factory.mktemp("limits")
    options: dict[str, Any] = {"api_processes": 2, "workers": 0, "simulators": False, "environment": environment}
    with installation(parts, directory, **options) as running:
        yield running


@pytest.fixture
def shop(limited: Installation) -> Tenant:
    return Tenant(limited)


def address() -> str:
    """An address of nobody else in these tests."""
    return f"198.18.{uuid.uuid4().int % 256}.{uuid.uuid4().int % 256}"


def burst(caller: httpx.Client, path: str, times: int, headers: Any = dict) -> tuple[list[httpx.Response], float]:
    """Many requests at once, and how many seconds they took."""
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: caller.get(path, headers=headers()), range(times)))
    return answers, time.monotonic() - began


# --- Rates ------------------------------------------------------------------------------------------------------------


def test_a_live_key_has_a_rate_over_all_processes(shop: Tenant) -> None:
    answers, took_s = burst(shop.live, "/v1/payments", 60, lambda: {"X-Forwarded-For": address()})
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert PER_KEY <= statuses[200] <= PER_KEY + PER_KEY * took_s + 1
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert code(refused, 429) == "rate_limited"
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["retry_after"] == 1
    assert refused.headers["ratelimit"] == '"default";r=0;t=1'
    assert refused.headers["ratelimit-policy"] == f'"default";q={PER_KEY};w=1'
    good = next(answer for answer in answers if answer.status_code == 200)
    assert re.fullmatch(r'"default";r=\d;t=1', good.headers["ratelimit"])


def test_in_development_a_test_key_has_none(shop: Tenant) -> None:
    answers, _ = burst(shop.test, "/v1/payments", 60)
    assert {answer.status_code for answer in answers} == {200}
    assert all("ratelimit" not in answer.headers for answer in answers)


def test_one_address_has_a_rate_whatever_its_keys(shop: Tenant, limited: Installation) -> None:
    mine = address()
    shops = [shop, *(Tenant(limited) for _ in range(5))]
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(each.live.get, "/v1/payments", headers={"X-Forwarded-For": mine}) for each in shops * 10]
        statuses = Counter(each.result().status_code for each in asked)
    assert set(statuses) == {200, 429}
    assert statuses[200] <= PER_IP + PER_IP * (time.monotonic() - began) + 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_whoever_has_no_good_key_draws_from_his_address(limited: Installation, header: str) -> None:
    """What he says himself stands left of what the proxy saw, or in a header that nobody reads."""
    mine = address()

    def spoofed() -> list[tuple[str, str]]:
        return [(header, f"for={address()}" if header == "Forwarded" else address()), ("X-Forwarded-For", mine)]

    stranger = httpx.Client(base_url=limited.base_url, headers={"Authorization": "Bearer sk_test_x"})
    answers, took_s = burst(stranger, "/v1/payments", 60, spoofed)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {401, 429}
    assert statuses[401] <= PER_IP + PER_IP * took_s + 1
    elsewhere = stranger.get("/v1/payments", headers={"X-Forwarded-For": address()})
    assert code(elsewhere, 401) == "unauthorized"


def test_signing_in_draws_from_the_address(limited: Installation) -> None:
    mine = {"X-Forwarded-For": address()}
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        asked = [
            pool.submit(httpx.post, f"{limited.base_url}/v1/auth/refresh", json={"refresh_token": "x"}, headers=mine)
            for _ in range(60)
        ]
        statuses = Counter(each.result().status_code for each in asked)
    assert set(statuses) == {401, 429}
    assert statuses[401] <= PER_IP + PER_IP * (time.monotonic() - began) + 1


def test_failed_sign_ins_are_counted_over_all_processes(limited: Installation) -> None:
    email = f"{uuid.uuid4().hex}@example.test"
    url = f"{limited.base_url}/v1/auth/token"
    with ThreadPoolExecutor(12) as pool:
        asked = [
            pool.submit(
                httpx.post,
                url,
                json={"email": email, "password": f"guess {number}"},
                headers={"X-Forwarded-For": address()},
                timeout=30,
            )
            for number in range(20)
        ]
        assert Counter(each.result().status_code for each in asked) == {401: 5, 429: 15}


def test_a_session_ends_in_every_process(limited: Installation) -> None:
    session = signed_in(limited, limited.email, limited.password)
    assert httpx.post(
        f"{limited.base_url}/v1/auth/logout", headers={"Authorization": f"Bearer {session['access_token']}"}
    ).is_success
    time.sleep(3)  # what a process remembers is at most two seconds old
    with ThreadPoolExecutor(4) as pool:  # a connection each, so that every process is met
        callers = [client(limited, session["access_token"], **{"X-Forwarded-For": address()}) for _ in range(8)]
        statuses = list(pool.map(lambda caller: caller.get("/v1/auth/merchants").status_code, callers))
    assert set(statuses) == {401}


# --- Keys -------------------------------------------------------------------------------------------------------------


def restricted(shop: Tenant, maker: httpx.Client | None = None, **members: Any) -> httpx.Client:
    made = (maker or shop.test).post("/v1/api_keys", json={"name": "till", **members})
    assert made.status_code == 201, made.text
    return shop.client(made.json()["key"])


def test_a_key_works_from_its_addresses_alone(shop: Tenant) -> None:
    till = restricted(shop, ip_ranges=["203.0.113.0/24", "2001:db8::7"])
    for inside in ("203.0.113.9", "1.2.3.4, 203.0.113.9", "2001:db8::7", "::ffff:203.0.113.1"):
        assert till.get("/v1/payments", headers={"X-Forwarded-For": inside}).status_code == 200, inside
    for outside in ("203.0.114.9", "203.0.113.9, 1.2.3.4", "2001:db8::8", "nonsense"):
        assert code(till.get("/v1/payments", headers={"X-Forwarded-For": outside}), 403) == "forbidden", outside
    assert code(till.get("/v1/payments"), 403) == "forbidden"


def test_a_key_never_makes_one_that_works_elsewhere(shop: Tenant) -> None:
    till = restricted(shop, ip_ranges=["203.0.113.0/24"])
    till.headers["X-Forwarded-For"] = "203.0.113.9"
    assert till.post("/v1/api_keys", json={"name": "x"}).json()["ip_ranges"] == ["203.0.113.0/24"]
    narrower = till.post("/v1/api_keys", json={"name": "x", "ip_ranges": ["203.0.113.9"]}).json()
    assert narrower["ip_ranges"] == ["203.0.113.9/32"]
    for wider in (["203.0.112.0/23"], ["203.0.113.9", "0.0.0.0/0"], ["::/0"]):
        assert code(till.post("/v1/api_keys", json={"name": "x", "ip_ranges": wider}), 403) == "forbidden"
    anywhere = shop.test.post("/v1/api_keys", json={"name": "x"}).json()
    assert code(till.post(f"/v1/api_keys/{anywhere['id']}/rotate"), 403) == "forbidden"
    assert till.post(f"/v1/api_keys/{narrower['id']}/rotate").json()["ip_ranges"] == ["203.0.113.9/32"]


def test_when_a_key_was_used_is_written_down_later(shop: Tenant) -> None:
    made = shop.test.post("/v1/api_keys", json={"name": "till"}).json()
    url = f"/v1/api_keys/{made['id']}"
    assert shop.test.get(url).json()["last_used_at"] is None
    assert shop.client(made["key"]).get("/v1/payments").status_code == 200
    deadline = time.monotonic() + 30
    while shop.test.get(url).json()["last_used_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_audit_trail_names_the_client_and_not_the_proxy(shop: Tenant) -> None:
    mine = address()
    made = shop.test.post("/v1/api_keys", json={"name": "x"}, headers={"X-Forwarded-For": f"10.1.1.1, {mine}"}).json()
    (row,) = shop.test.get("/v1/audit_events", params={"object_id": made["id"]}).json()["data"]
    assert row["ip"] == mine


# --- Card testing -----------------------------------------------------------------------------------------------------


def pay(shop: Tenant, key: str, method: dict[str, str] = CARD, *, livemode: bool = True) -> httpx.Response:
    """The answer to a payment, once the key's own rate allows it."""
    caller = shop.live if livemode else shop.test
    body = {"amount": 15000, "currency": "LSL", "method": method, "country": "LS"}
    headers = {"Idempotency-Key": key}
    while True:
        answer = caller.post("/v1/payments", json=body, headers={**headers, "X-Forwarded-For": address()})
        if answer.headers.get("retry-after") != "1":
            return answer
        time.sleep(0.2)


def decline(limited: Installation, payment: str, why: DeclineCode = DeclineCode.DECLINED) -> None:
    """Have a payment fail, as a provider's answer would."""
    payment_id = ids.read(ids.PAYMENT, payment)

    async def fail(connection: Connection) -> None:
        content = msgspec.json.encode(failure(why))
        await connection.execute(
            "update payments set status = 'failed', failure = $2 where id = $1", payment_id, content
        )

    on_database(limited, fail)


def test_many_declined_cards_stop_cards_and_nothing_else(limited: Installation, shop: Tenant) -> None:
    accepted = [pay(shop, f"first-{number}").json()["id"] for number in range(DECLINES)]
    decline(limited, pay(shop, "unreachable").json()["id"], DeclineCode.PROVIDER_UNAVAILABLE)
    for payment in accepted[1:]:
        decline(limited, payment)
    time.sleep(1.1)  # what a process remembers is at most a second old
    assert pay(shop, "below").status_code == 201
    decline(limited, accepted[0])
    deadline = time.monotonic() + 20
    number = 0
    while (refused := pay(shop, f"more-{number}")).status_code == 201:
        number += 1
        assert time.monotonic() < deadline
    time.sleep(1.1)  # now in every process
    refused = pay(shop, "refused")
    assert code(refused, 429) == "rate_limited"
    assert 500 < int(refused.headers["retry-after"]) <= 600
    replayed = pay(shop, "first-0")
    assert (replayed.status_code, replayed.json()["id"]) == (201, accepted[0])
    assert pay(shop, "phone", PHONE).status_code == 201
    assert pay(shop, "test", livemode=False).status_code == 201
    assert pay(Tenant(limited), "another").status_code == 201
