"""People sign in, act as far as their role goes, and stop when their session ends."""

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from gateway import ids, roles
from gateway.http.endpoints import ENDPOINTS, Endpoint
from gateway.scopes import scope
from gateway.store.database import Connection
from tests.api.people import PASSWORD, Person, ask_token, client, signed_in
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation

REFUSED_WITHIN_S = 5
ADMIN = [each for each in ENDPOINTS if each.path.startswith("/v1/admin/")]


@pytest.fixture(scope="module")
def owner(mypay: Installation) -> httpx.Client:
    """The demo's owner, with the e-mail address and the password of demo.json."""
    return client(mypay, signed_in(mypay, mypay.email, mypay.password)["access_token"])


@pytest.fixture(scope="module")
def operator(mypay: Installation, owner: httpx.Client) -> Person:
    return Person(mypay, owner, "operator")


@pytest.fixture(scope="module")
def viewer(mypay: Installation, owner: httpx.Client) -> Person:
    return Person(mypay, owner, "viewer")


def refresh(mypay: Installation, token: str) -> httpx.Response:
    return httpx.post(f"{mypay.base_url}/v1/auth/refresh", json={"refresh_token": token}, timeout=10)


def call(caller: httpx.Client, endpoint: Endpoint) -> httpx.Response:
    """Call an operation with ids that do not exist, and no body."""
    parts = [f"{part[1:-1]}_x" if part.startswith("{") else part for part in endpoint.path.split("/")]
    return caller.request(endpoint.method.upper(), "/".join(parts), headers={"Idempotency-Key": uuid.uuid4().hex})


def ends(caller: httpx.Client) -> None:
    """Wait until a client is refused, which must be soon."""
    began = time.monotonic()
    while caller.get("/v1/auth/merchants").status_code == 200:
        assert time.monotonic() < began + REFUSED_WITHIN_S, "it is never refused"
        time.sleep(0.05)
    assert code(caller.get("/v1/auth/merchants"), 401) == "unauthorized"


# --- Sessions ---------------------------------------------------------------------------------------------------------


def test_a_sign_in_gives_two_tokens(mypay: Installation) -> None:
    answer = ask_token(mypay, mypay.email.upper(), mypay.password)
    session = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (session["token_type"], session["user"]["role"], session["user"]["email"]) == (
        "Bearer",
        "owner",
        mypay.email,
    )
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == session["expires_in"] <= 3600
    assert client(mypay, session["access_token"]).get("/v1/admin/users").status_code == 200


def test_a_refresh_token_works_once(mypay: Installation, viewer: Person) -> None:
    first = signed_in(mypay, viewer.email, viewer.password)
    second = refresh(mypay, first["refresh_token"]).json()
    assert client(mypay, second["access_token"]).get("/v1/auth/merchants").status_code == 200
    assert code(refresh(mypay, first["refresh_token"]), 401) == "unauthorized"
    assert code(refresh(mypay, second["refresh_token"]), 401) == "unauthorized"  # the family has ended
    for session in (first, second):
        ends(client(mypay, session["access_token"]))
    assert client(mypay, viewer.tokens["access_token"]).get("/v1/auth/merchants").status_code == 200


def test_of_many_refreshes_at_once_one_works_and_the_session_ends(mypay: Installation, viewer: Person) -> None:
    token = signed_in(mypay, viewer.email, viewer.password)["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(mypay, token), range(8)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 7}
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert refresh(mypay, won["refresh_token"]).status_code == 401
    ends(client(mypay, won["access_token"]))


@pytest.mark.parametrize("by_refresh_token", [True, False])
def test_signing_out_ends_the_session(mypay: Installation, viewer: Person, by_refresh_token: bool) -> None:
    session = signed_in(mypay, viewer.email, viewer.password)
    caller = client(mypay, session["access_token"])
    body = {"refresh_token": session["refresh_token"]} if by_refresh_token else {}
    answer = httpx.post(
        f"{mypay.base_url}/v1/auth/logout", json=body, headers={} if by_refresh_token else dict(caller.headers)
    )
    assert answer.json() == {"object": "session", "ended": True}
    assert refresh(mypay, session["refresh_token"]).status_code == 401
    ends(caller)
    assert code(httpx.post(f"{mypay.base_url}/v1/auth/logout"), 401) == "unauthorized"


def test_nobody_learns_from_an_answer_who_exists(mypay: Installation, viewer: Person) -> None:
    known = ask_token(mypay, viewer.email, "wrong password")
    unknown = ask_token(mypay, f"{uuid.uuid4().hex}@example.test", "wrong password")
    assert code(known, 401) == code(unknown, 401) == "unauthorized"
    same = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in (known, unknown)]
    assert same[0] == same[1]


def test_five_failures_are_the_most_known_or_not_and_at_once(mypay: Installation, owner: httpx.Client) -> None:
    known, unknown = Person(mypay, owner, "viewer").email, f"{uuid.uuid4().hex}@example.test"
    for email in (known, unknown):
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda n, email=email: ask_token(mypay, email, f"guess {n}"), range(12)))
        assert Counter(answer.status_code for answer in answers) == {401: 5, 429: 7}
        again = ask_token(mypay, email.upper(), PASSWORD)
        assert code(again, 429) == "rate_limited"
        assert 800 < int(again.headers["retry-after"]) <= 900


def test_a_success_forgets_the_failures(mypay: Installation, viewer: Person) -> None:
    for _ in range(3):
        assert ask_token(mypay, viewer.email, "wrong password").status_code == 401
        assert ask_token(mypay, viewer.email, "wrong password").status_code == 401
        signed_in(mypay, viewer.email, viewer.password)


def test_passwords_and_tokens_are_stored_as_hashes_and_logged_nowhere(mypay: Installation, owner: httpx.Client) -> None:
    made = owner.post("/v1/admin/users", json={"email": f"{uuid.uuid4().hex}@example.test", "role": "viewer"}).json()
    session = signed_in(mypay, made["email"], made["password"])
    newer = refresh(mypay, session["refresh_token"]).json()
    secrets = [
        made["password"],
        *(each[name] for each in (session, newer) for name in ("access_token", "refresh_token")),
    ]
    refused = [
        ask_token(mypay, made["email"], "canary-" + made["password"]),
        refresh(mypay, session["refresh_token"] + "x"),
        httpx.get(f"{mypay.base_url}/v1/payments", headers={"Authorization": f"Bearer {newer['access_token']}x"}),
        httpx.get(f"{mypay.base_url}/v1/payments", headers={"Authorization": newer["access_token"]}),
        httpx.get(f"{mypay.base_url}/v1/payments", params={"access_token": newer["access_token"]}),
    ]
    assert all(answer.status_code == 401 for answer in refused)

    async def dumped(connection: Connection) -> str:
        tables = ("users", "sessions", "refresh_tokens", "sign_in_attempts", "audit_events", "idempotency_keys")
        return "".join([str(await connection.fetch(f"select t::text from {table} t")) for table in tables])

    everywhere = on_database(mypay, dumped) + mypay.processes["api"].log + "".join(each.text for each in refused)
    assert [secret for secret in secrets if secret in everywhere] == []
    audit = on_database(mypay, lambda c: c.fetch("select * from audit_events where object_id = $1", made["id"]))
    assert {(row["action"], row["outcome"]) for row in audit} == {
        ("user.create", "done"),
        ("user.sign_in", "done"),
        ("user.sign_in", "refused"),
    }
    assert {row["ip"] for row in audit} == {"127.0.0.1"}
    assert made["email"] not in str(audit)


# --- Roles ------------------------------------------------------------------------------------------------------------


def test_each_role_does_what_its_table_says(
    owner: httpx.Client, operator: Person, viewer: Person, tenant: Tenant
) -> None:
    merchant = ids.show(ids.MERCHANT, tenant.merchant_id)
    for role, person in (("operator", operator), ("viewer", viewer)):
        granted = roles.grants(role)  # type: ignore[arg-type]
        assert granted is not None
        for endpoint in ENDPOINTS:
            if endpoint.permission is None or endpoint.streams:
                continue
            allowed = call(person.of(merchant), endpoint).status_code != 403
            assert allowed == (endpoint.permission in granted), (role, endpoint.path)
    owner.headers["MyPay-Merchant"] = merchant
    asked = [endpoint for endpoint in ENDPOINTS if endpoint.permission and not endpoint.streams]
    assert all(call(owner, endpoint).status_code not in (401, 403) for endpoint in asked)
    del owner.headers["MyPay-Merchant"]


def test_what_decides_where_money_goes_is_the_owners() -> None:
    for resource in ("payouts", "accounts", "routing", "api_keys"):
        for role in ("operator", "viewer"):
            assert scope(resource, "write") not in (roles.grants(role) or ())  # type: ignore[arg-type]


def test_no_key_reaches_the_installation(tenant: Tenant) -> None:
    for endpoint in ADMIN:
        for caller in (tenant.test, tenant.live, httpx.Client(base_url=tenant.mypay.base_url)):
            answer = call(caller, endpoint)
            assert answer.status_code == (403 if "Authorization" in caller.headers else 401), endpoint.path


def test_a_person_names_the_merchant_and_the_mode(owner: httpx.Client, viewer: Person, tenant: Tenant) -> None:
    merchant = ids.show(ids.MERCHANT, tenant.merchant_id)
    test, live = tenant.payment()["id"], tenant.payment(livemode=True)["id"]
    assert [each["id"] for each in viewer.of(merchant).get("/v1/payments").json()["data"]] == [test]
    assert [each["id"] for each in viewer.of(merchant, livemode=True).get("/v1/payments").json()["data"]] == [live]
    assert code(viewer.of(merchant).get(f"/v1/payments/{live}"), 404) == "not_found"
    assert code(viewer.client.get("/v1/payments"), 400) == "invalid_request"
    for nobody in (ids.show(ids.MERCHANT, ids.new()), "mer_x", merchant.upper()):
        assert code(viewer.of(nobody).get("/v1/payments"), 404) == "not_found"
    for wrong in ("TRUE", "1", ""):
        answer = viewer.client.get("/v1/payments", headers={"MyPay-Merchant": merchant, "MyPay-Livemode": wrong})
        assert code(answer, 400) == "invalid_request"
    assert viewer.client.get("/v1/providers").status_code == 200
    assert owner.get("/v1/audit_events").json()["data"][0]["actor"].startswith("usr_")
    assert merchant in [each["id"] for each in viewer.client.get("/v1/auth/merchants?limit=100").json()["data"]]


def test_a_key_means_its_own_merchant_whatever_a_header_says(tenant: Tenant, other: Tenant) -> None:
    payment = tenant.payment()["id"]
    headers = {"MyPay-Merchant": ids.show(ids.MERCHANT, tenant.merchant_id), "MyPay-Livemode": "false"}
    for stranger in (other.test, tenant.live):
        assert code(stranger.get(f"/v1/payments/{payment}", headers=headers), 404) == "not_found"


# --- The installation -------------------------------------------------------------------------------------------------


def test_a_merchant_comes_with_one_test_key(mypay: Installation, owner: httpx.Client) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = owner.post("/v1/admin/merchants", json={"name": "Maseru Books"}, headers=headers)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/admin/merchants/{made['id']}"
    key = made.pop("api_key")
    assert key.startswith("sk_test_")
    assert code(owner.post("/v1/admin/merchants", json={"name": "Maseru Books"}, headers=headers), 409) == (
        "secret_already_shown"
    )
    assert owner.get(answer.headers["location"]).json() == made
    assert owner.get("/v1/admin/merchants").json()["data"][0] == made
    merchant = client(mypay, key)
    assert merchant.get("/v1/accounts").json()["data"] == []
    assert merchant.post("/v1/accounts", json={"provider": "sandbox", "settings": {}}).status_code == 201


def test_a_live_key_is_made_by_an_owner_alone(mypay: Installation, owner: httpx.Client, operator: Person) -> None:
    merchant = owner.post("/v1/admin/merchants", json={"name": "Maseru Books"}).json()
    body = {"name": "till", "merchant": merchant["id"], "livemode": True}
    made = owner.post("/v1/api_keys", json=body)
    assert (made.status_code, made.json()["livemode"]) == (201, True)
    assert made.json()["key"].startswith("sk_live_")
    assert client(mypay, made.json()["key"]).get("/v1/payments").json()["data"] == []
    assert code(operator.client.post("/v1/api_keys", json=body), 403) == "forbidden"
    assert pointers(client(mypay, merchant["api_key"]).post("/v1/api_keys", json=body)) == ["/merchant"]
    assert pointers(owner.post("/v1/api_keys", json={"name": "x", "livemode": True})) == ["/merchant"]
    missing = ids.show(ids.MERCHANT, ids.new())
    assert code(owner.post("/v1/api_keys", json={**body, "merchant": missing}), 404) == "not_found"
    other = {"MyPay-Merchant": ids.show(ids.MERCHANT, on_database(mypay, _some_other_merchant))}
    assert pointers(owner.post("/v1/api_keys", json=body, headers=other)) == ["/merchant"]
    of_merchant = {"MyPay-Merchant": merchant["id"], "MyPay-Livemode": "true"}
    assert owner.delete(f"/v1/api_keys/{made.json()['id']}", headers=of_merchant).json()["revoked_at"] is not None
    changed = owner.get("/v1/audit_events", headers=of_merchant).json()["data"]
    assert [each["action"] for each in changed] == ["api_key.revoke", "api_key.create"]
    assert all(each["actor"].startswith("usr_") for each in changed)


async def _some_other_merchant(connection: Connection) -> Any:
    return await connection.fetchval("select id from merchants order by id limit 1")


def test_a_person_can_be_changed_and_stopped(mypay: Installation, owner: httpx.Client) -> None:
    person = Person(mypay, owner, "viewer")
    url = f"/v1/admin/users/{person.id}"
    assert owner.patch(url, json={"role": "operator"}).json()["role"] == "operator"
    ends(person.client)
    assert owner.patch(url, json={"password": "another password"}).status_code == 200
    assert ask_token(mypay, person.email, PASSWORD).status_code == 401
    session = signed_in(mypay, person.email, "another password")
    assert owner.patch(url, json={"disabled": True}).json()["disabled_at"] is not None
    ends(client(mypay, session["access_token"]))
    assert refresh(mypay, session["refresh_token"]).status_code == 401
    assert ask_token(mypay, person.email, "another password").status_code == 401
    assert owner.patch(url, json={"disabled": False}).json()["disabled_at"] is None
    signed_in(mypay, person.email, "another password")


def test_there_is_always_an_owner(mypay: Installation, owner: httpx.Client) -> None:
    users = owner.get("/v1/admin/users?limit=100").json()["data"]
    (only,) = [each["id"] for each in users if each["role"] == "owner" and each["disabled_at"] is None]
    assert pointers(owner.patch(f"/v1/admin/users/{only}", json={"role": "viewer"})) == ["/role"]
    assert pointers(owner.patch(f"/v1/admin/users/{only}", json={"disabled": True})) == ["/disabled"]
    assert owner.get("/v1/admin/users").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "viewer"}, "/email"),
        ({"email": "a b@example.test", "role": "viewer"}, "/email"),
        ({"email": "nobody", "role": "viewer"}, "/email"),
        ({"email": "a@example.test", "role": "admin"}, "/role"),
        ({"email": "a@example.test", "role": "viewer", "password": "short"}, "/password"),
        ({"email": "a@example.test", "role": "viewer", "is_admin": True}, "/is_admin"),
    ],
)
def test_bad_users(owner: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    assert pointers(owner.post("/v1/admin/users", json=body)) == [pointer]


def test_an_address_belongs_to_one_person(owner: httpx.Client, viewer: Person) -> None:
    body = {"email": viewer.email.upper(), "role": "viewer", "password": PASSWORD}
    assert pointers(owner.post("/v1/admin/users", json=body)) == ["/email"]


def test_statistics_count_what_there_is(owner: httpx.Client, tenant: Tenant) -> None:
    before = owner.get("/v1/admin/statistics").json()
    for _ in range(3):
        tenant.payment()
    tenant.payment(livemode=True)
    after = owner.get("/v1/admin/statistics").json()
    assert after["complete"]
    assert after["merchants"] >= before["merchants"]

    def pending(statistics: dict[str, Any], livemode: bool) -> int:
        found = [
            each["count"]
            for each in statistics["payments"]
            if (each["livemode"], each["provider"], each["status"]) == (livemode, "sandbox", "pending")
        ]
        return sum(found)

    assert pending(after, False) == pending(before, False) + 3
    assert pending(after, True) == pending(before, True) + 1
    assert {each["currency"] for each in after["volumes"]} == {"LSL"}
    window = {"created_from": "2021-01-01T00:00:00Z", "created_to": "2021-01-31T00:00:00Z"}
    assert owner.get("/v1/admin/statistics", params=window).json()["payments"] == []
    for wrong in ("2020-01-01T00:00:00Z", "2021-02-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        refused = owner.get("/v1/admin/statistics", params={**window, "created_from": wrong})
        assert pointers(refused) == ["/created_from"]
