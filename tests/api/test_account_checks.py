"""Whether an account's credentials work: asked of the provider, kept on the account, and never at the cost of money."""

import uuid
from typing import Any

import pytest

from gateway import ids
from tests.api.tenants import Tenant, code
from tests.api.test_accounts import CPAY
from tests.support.installation import Installation


@pytest.fixture
def tenant(working: Installation) -> Tenant:
    """A merchant where the simulators run."""
    return Tenant(working)


def account(tenant: Tenant, settings: dict[str, Any] | None = None, provider: str = "sandbox") -> str:
    """A new account's address."""
    made = tenant.test.post("/v1/accounts", json={"provider": provider, "settings": settings or {}})
    assert made.status_code == 201, made.text
    return f"/v1/accounts/{made.json()['id']}"


def check(tenant: Tenant, url: str) -> dict[str, Any]:
    """What a check finds, without the time."""
    answer = tenant.test.post(f"{url}/check")
    assert answer.status_code == 200, answer.text
    assert answer.json() == tenant.test.get(url).json()
    found = dict(answer.json()["last_check"])
    assert found.pop("checked_at").endswith("Z")
    return found


def test_credentials_that_work(tenant: Tenant) -> None:
    assert check(tenant, account(tenant)) == {"result": "works", "code": None, "detail": None}


def test_credentials_that_are_refused_and_then_replaced(tenant: Tenant) -> None:
    url = account(tenant, {"api_key": "refused"})
    assert check(tenant, url) == {
        "result": "refused",
        "code": "401",
        "detail": "The provider refused the account's credentials or set-up.",
    }
    renewed = tenant.test.patch(url, json={"settings": {"api_key": "another"}}).json()
    assert renewed["last_check"] is None  # it was about other credentials
    assert check(tenant, url)["result"] == "works"
    assert tenant.test.patch(url, json={"label": "till"}).json()["last_check"]["result"] == "works"


def test_a_provider_that_is_not_there_or_says_nothing(working: Installation, tenant: Tenant) -> None:
    nobody = account(tenant, {"base_url": "http://127.0.0.1:1"})
    assert check(tenant, nobody) == {"result": "unknown", "code": None, "detail": "ConnectError"}
    cpay = account(tenant, {**CPAY, "base_url": working.simulators["cpay"]}, "cpay")
    found = check(tenant, cpay)
    assert (found["result"], found["code"]) == ("unknown", None)
    assert "C-Pay documents no answer" in found["detail"]


def test_it_is_audited_and_a_repetition_is_one(tenant: Tenant) -> None:
    url, headers = account(tenant), {"Idempotency-Key": uuid.uuid4().hex}
    first, second = (tenant.test.post(f"{url}/check", headers=headers) for _ in range(2))
    assert (second.content, second.headers["idempotency-replayed"]) == (first.content, "true")
    trail = tenant.test.get(f"/v1/audit_events?action=account.check&object_id={first.json()['id']}").json()["data"]
    assert [each["changes"] for each in trail] == [{"result": "works", "current": True}]


def test_nobody_checks_anothers_account(working: Installation, tenant: Tenant) -> None:
    url, other = account(tenant), Tenant(working)
    for client in (other.test, tenant.live):
        assert code(client.post(f"{url}/check"), 404) == "not_found"
    missing = f"/v1/accounts/{ids.show(ids.ACCOUNT, ids.new())}/check"
    assert code(tenant.test.post(missing), 404) == "not_found"
    reader = tenant.test.post("/v1/api_keys", json={"name": "k", "resources": {"accounts": "read"}}).json()
    assert code(tenant.client(reader["key"]).post(f"{url}/check"), 403) == "forbidden"
