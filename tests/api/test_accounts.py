"""Accounts: made with typed settings, shown without secrets, changed without moving money, disabled, never shared."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway import ids
from gateway.sealing import Sealer
from gateway.store import directory
from gateway.store.credentials import open_settings
from gateway.store.database import Connection
from providers.cpay.spec import CPayAccount
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation

CPAY: dict[str, Any] = {
    "base_url": "https://cpay.example",
    "api_key": "canary-key",
    "client_code": "CLIENT",
    "hmac_secret": "canary-secret",
    "merchant_code": "MERCHANT",
}


def make(tenant: Tenant, settings: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """A C-Pay account."""
    body = {"provider": "cpay", "settings": {**CPAY, **(settings or {})}, **members}
    answer = tenant.test.post("/v1/accounts", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def credentials(mypay: Installation, account_id: str, version: int) -> Any:
    """What is sealed in the database."""
    wanted = ids.read(ids.ACCOUNT, account_id)
    assert wanted is not None

    async def read(connection: Connection) -> Any:
        row = await directory.account(connection, wanted)
        sealed = await directory.sealed_settings(connection, wanted, version)
        assert row is not None
        assert sealed is not None
        assert b"canary" not in sealed
        return open_settings(
            Sealer(mypay.settings.key("seal")),
            sealed,
            provider=row.provider,
            account_id=row.id,
            version=version,
            merchant_id=row.merchant_id,
        )

    return on_database(mypay, read)


def test_the_simulators_account_needs_nothing(mypay: Installation, tenant: Tenant) -> None:
    answer = tenant.test.post("/v1/accounts", json={"provider": "sandbox", "settings": {}})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/accounts/{made['id']}"
    assert made.pop("callback_url").startswith(f"{mypay.base_url}/callbacks/sandbox/")
    assert made.pop("created_at") == made.pop("updated_at")
    assert ids.read(ids.ACCOUNT, made.pop("id"))
    assert made == {
        "object": "account",
        "livemode": False,
        "provider": "sandbox",
        "label": "",
        "enabled": True,
        "priority": 100,
        "settings": {"api_key": "***", "webhook_secret": "***", "base_url": None},
        "last_check": None,
    }


def test_secrets_go_in_and_never_come_out(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant, label="till", priority=7, enabled=False)
    assert (made["label"], made["priority"], made["enabled"]) == ("till", 7, False)
    answers = [tenant.test.get(f"/v1/accounts/{made['id']}"), tenant.test.get("/v1/accounts")]
    answers.append(tenant.test.patch(f"/v1/accounts/{made['id']}", json={"settings": {"api_key": "canary-two"}}))
    assert all("canary" not in each.text for each in answers)
    assert answers[0].json() == made
    assert made["settings"]["api_key"] == made["settings"]["hmac_secret"] == "***"
    assert made["settings"]["client_code"] == "CLIENT"
    stored = credentials(mypay, made["id"], 1)
    assert isinstance(stored, CPayAccount)
    assert (stored.api_key, stored.flow) == ("canary-key", "async")


def test_a_new_account_routes_at_once_and_its_callbacks_have_an_address(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant, priority=0)
    paid = tenant.payment(country="LS")
    assert (paid["account"], paid["provider"]) == (made["id"], "cpay")
    path = made["callback_url"].removeprefix(mypay.base_url)
    assert tenant.test.post(path, content=b"{}").status_code == 200
    assert tenant.test.delete(f"/v1/accounts/{made['id']}").json()["enabled"] is False
    assert tenant.payment(country="LS")["provider"] == "sandbox"
    assert tenant.test.post(path, content=b"{}").status_code == 200  # its payments still settle


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"settings": {}}, "/provider"),
        ({"provider": "nowhere"}, "/provider"),
        ({"provider": "cpay"}, "/settings/base_url"),
        ({"provider": "cpay", "settings": {**CPAY, "api_key": 1}}, "/settings/api_key"),
        ({"provider": "cpay", "settings": {**CPAY, "api_key": ""}}, "/settings/api_key"),
        ({"provider": "cpay", "settings": {**CPAY, "api_key": "***"}}, "/settings/api_key"),
        ({"provider": "cpay", "settings": {**CPAY, "flow": "cards"}}, "/settings/flow"),
        ({"provider": "cpay", "settings": {**CPAY, "sekret": "x"}}, "/settings/sekret"),
        ({"provider": "cpay", "settings": {**CPAY, "base_url": "ftp://x.example"}}, "/settings/base_url"),
        ({"provider": "cpay", "settings": {**CPAY, "base_url": "https://a@x.example"}}, "/settings/base_url"),
        ({"provider": "sandbox", "settings": []}, "/settings"),
        ({"provider": "sandbox", "settings": {}, "priority": -1}, "/priority"),
        ({"provider": "sandbox", "settings": {}, "label": "x" * 101}, "/label"),
        ({"provider": "sandbox", "settings": {}, "livemode": True}, "/livemode"),
    ],
)
def test_bad_accounts(tenant: Tenant, body: dict[str, Any], pointer: str) -> None:
    answer = tenant.test.post("/v1/accounts", json=body)
    assert pointers(answer) == [pointer]
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    "base_url",
    ["http://x.example", "https://127.0.0.1", "https://10.1.2.3:8443/a", "https://[::1]", "https://db.internal"],
)
def test_a_live_account_sends_to_the_public_internet_alone(tenant: Tenant, base_url: str) -> None:
    body = {"provider": "cpay", "settings": {**CPAY, "base_url": base_url}}
    assert pointers(tenant.live.post("/v1/accounts", json=body)) == ["/settings/base_url"]
    assert tenant.test.post("/v1/accounts", json=body).status_code == 201  # a development installation
    assert tenant.live.post("/v1/accounts", json={**body, "settings": CPAY}).status_code == 201


def test_a_live_account_does_not_override_the_address(tenant: Tenant) -> None:
    body = {"provider": "sandbox", "settings": {"base_url": "https://elsewhere.example"}}
    assert pointers(tenant.live.post("/v1/accounts", json=body)) == ["/settings/base_url"]
    assert tenant.test.post("/v1/accounts", json=body).status_code == 201


def test_secrets_rotate_as_a_new_version(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant)
    url = f"/v1/accounts/{made['id']}"
    changed = tenant.test.patch(url, json={"settings": {"api_key": "canary-two", "msisdn_format": "e164"}}).json()
    assert changed["settings"] == {**made["settings"], "msisdn_format": "e164"}
    assert changed["updated_at"] > made["updated_at"]
    assert (
        credentials(mypay, made["id"], 1).api_key == "canary-key"
    )  # operations under way keep what they were sent with
    renewed = credentials(mypay, made["id"], 2)
    assert (renewed.api_key, renewed.hmac_secret, renewed.msisdn_format) == ("canary-two", "canary-secret", "e164")
    again = tenant.test.patch(url, json={"settings": {"api_key": "canary-two"}})
    assert again.json() == changed  # nothing changed: no version 3
    with pytest.raises(AssertionError):
        credentials(mypay, made["id"], 3)


def test_what_identifies_money_never_changes(tenant: Tenant) -> None:
    made = make(tenant)
    url = f"/v1/accounts/{made['id']}"
    for name, value in (("merchant_code", "OTHER"), ("client_code", "OTHER"), ("base_url", "https://other.example")):
        body = {"settings": {name: value, "api_key": "canary-two"}, "label": "moved"}
        assert code(tenant.test.patch(url, json=body), 409) == "settings_immutable"
    assert (
        tenant.test.patch(url, json={"settings": {"merchant_code": "MERCHANT"}}).json() == made
    )  # the same is no change
    assert tenant.test.get(url).json() == made


def test_other_changes(tenant: Tenant) -> None:
    made = make(tenant)
    url = f"/v1/accounts/{made['id']}"
    changed = tenant.test.patch(url, json={"label": "front", "priority": 5, "enabled": False}).json()
    assert {**changed, "updated_at": ""} == {
        **made,
        "label": "front",
        "priority": 5,
        "enabled": False,
        "updated_at": "",
    }
    assert tenant.test.patch(url, json={"enabled": True}).json()["enabled"] is True
    assert tenant.test.patch(url, json={}).status_code == 200
    for body, pointer in (
        ({"provider": "sandbox"}, "/provider"),
        ({"label": None}, "/label"),
        ({"settings": {"api_key": None}}, "/settings/api_key"),
        ({"settings": {"api_key": "***"}}, "/settings/api_key"),
        ({"settings": {"x": 1}}, "/settings/x"),
    ):
        assert pointers(tenant.test.patch(url, json=body)) == [pointer]


def test_a_repeated_request_makes_one_account(tenant: Tenant) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"provider": "cpay", "settings": CPAY}
    first, second = (tenant.test.post("/v1/accounts", json=body, headers=headers) for _ in range(2))
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    changed = tenant.test.post("/v1/accounts", json={**body, "label": "x"}, headers=headers)
    assert code(changed, 422) == "idempotency_key_reused"
    assert len(tenant.test.get("/v1/accounts").json()["data"]) == 2


def test_many_at_once_with_one_key_make_one_account(tenant: Tenant) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"provider": "cpay", "settings": CPAY}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tenant.test.post("/v1/accounts", json=body, headers=headers), range(8)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["id"] for each in answers}) == 1
    assert len(tenant.test.get("/v1/accounts").json()["data"]) == 2


def test_many_changes_at_once_are_all_kept(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant)
    url = f"/v1/accounts/{made['id']}"
    bodies: list[dict[str, Any]] = [{"settings": {"api_key": f"canary-{n}"}} for n in range(6)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: tenant.test.patch(url, json=body), [*bodies, {"label": "kept"}]))
    assert {each.status_code for each in answers} == {200}
    assert {credentials(mypay, made["id"], version).api_key for version in range(2, 8)} == {
        body["settings"]["api_key"] for body in bodies
    }
    assert tenant.test.get(url).json()["label"] == "kept"


def test_the_list_has_pages(tenant: Tenant) -> None:
    made = [tenant.account() for _ in range(4)]
    first = tenant.test.get("/v1/accounts?limit=3").json()
    rest = tenant.test.get(f"/v1/accounts?limit=3&after={first['next']}").json()
    assert [each["id"] for each in first["data"] + rest["data"]][:4] == made[::-1]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)


def test_nobody_reaches_anothers_account_nor_that_of_the_other_mode(tenant: Tenant, other: Tenant) -> None:
    made = make(tenant)
    url = f"/v1/accounts/{made['id']}"
    for client in (other.test, tenant.live, other.live):
        for answer in (client.get(url), client.patch(url, json={"label": "mine"}), client.delete(url)):
            assert code(answer, 404) == "not_found"
        assert made["id"] not in client.get("/v1/accounts").text
    assert tenant.test.get(url).json() == made
    for account_id in ("acc_x", ids.show(ids.ACCOUNT, ids.new()), ids.show(ids.PAYMENT, ids.new())):
        assert code(tenant.test.get(f"/v1/accounts/{account_id}"), 404) == "not_found"
