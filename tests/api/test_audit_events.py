"""Every change of configuration leaves a row that says who, what, which and from where, and no secret."""

from typing import Any

import pytest

from gateway import ids
from gateway.store.database import Connection
from tests.api.tenants import Tenant, on_database, pointers
from tests.support.installation import Installation


def trail(tenant: Tenant, query: str = "", *, livemode: bool = False) -> list[dict[str, Any]]:
    """The rows, newest first."""
    client = tenant.live if livemode else tenant.test
    answer = client.get(f"/v1/audit_events?limit=100{query}")
    assert answer.status_code == 200, answer.text
    assert "canary" not in answer.text
    return list(answer.json()["data"])


def test_changes_are_written_down(tenant: Tenant) -> None:
    asking = tenant.test.get("/v1/api_keys").json()["data"][0]["id"]
    headers = {"Request-Id": "trace-me"}
    account = tenant.test.post(
        "/v1/accounts", json={"provider": "sandbox", "settings": {"api_key": "canary-1"}}, headers=headers
    ).json()["id"]
    tenant.test.patch(f"/v1/accounts/{account}", json={"label": "till", "settings": {"api_key": "canary-2"}})
    tenant.test.patch(f"/v1/accounts/{account}", json={"label": "till"})  # changes nothing
    tenant.test.delete(f"/v1/accounts/{account}")
    key = tenant.test.post("/v1/api_keys", json={"name": "k", "resources": {"events": "read"}}).json()["id"]
    rotated = tenant.test.post(f"/v1/api_keys/{key}/rotate").json()["id"]
    tenant.test.delete(f"/v1/api_keys/{key}")
    rows = trail(tenant)[::-1]
    assert [(each["action"], each["object_id"], each["changes"]) for each in rows] == [
        ("account.create", account, {"provider": "sandbox", "label": "", "priority": 100, "enabled": True}),
        ("account.update", account, {"label": "till", "settings": ["api_key"]}),
        ("account.update", account, {"enabled": False}),
        ("api_key.create", key, {"name": "k", "resources": {"events": "read"}, "ip_ranges": None}),
        ("api_key.rotate", rotated, {"replaces": key}),
        ("api_key.revoke", key, {"name": "k"}),
    ]
    assert {(each["actor"], each["ip"], each["outcome"], each["livemode"]) for each in rows} == {
        (asking, "127.0.0.1", "done", False)
    }
    assert rows[0]["request_id"] == "trace-me"
    assert ids.read(ids.AUDIT_EVENT, rows[0]["id"])


def test_what_is_refused_leaves_no_row(tenant: Tenant) -> None:
    account = tenant.account()
    before = trail(tenant)
    tenant.test.patch(f"/v1/accounts/{account}", json={"settings": {"base_url": "http://127.0.0.1:1"}})
    tenant.test.post("/v1/api_keys", json={})
    assert trail(tenant) == before


def test_filters_and_pages(tenant: Tenant) -> None:
    accounts = [tenant.account() for _ in range(3)]
    tenant.test.post("/v1/api_keys", json={"name": "k"})
    actor = trail(tenant)[0]["actor"]
    assert [each["object_id"] for each in trail(tenant, "&action=account.create")] == accounts[::-1]
    assert [each["object_id"] for each in trail(tenant, f"&object_id={accounts[1]}")] == [accounts[1]]
    assert len(trail(tenant, f"&actor={actor}")) == 4
    assert trail(tenant, "&actor=nobody") == []
    first = tenant.test.get("/v1/audit_events?limit=3").json()
    rest = tenant.test.get(f"/v1/audit_events?limit=3&after={first['next']}").json()
    assert first["data"] + rest["data"] == trail(tenant)
    assert pointers(tenant.test.get("/v1/audit_events?ip=1")) == ["/ip"]


def test_nobody_sees_anothers_trail_nor_that_of_the_other_mode(tenant: Tenant, other: Tenant) -> None:
    tenant.account()
    live = tenant.account(livemode=True)
    other.account()
    assert [each["object_id"] for each in trail(tenant, livemode=True)] == [live]
    assert len(trail(tenant)) == len(trail(other)) == 1
    assert trail(other, livemode=True) == []


@pytest.mark.parametrize("table", ["audit_events", "callbacks"])
def test_a_page_is_read_from_the_index(mypay: Installation, tenant: Tenant, table: str) -> None:
    async def indexes(connection: Connection) -> set[str]:
        rows = await connection.fetch("select indexdef from pg_indexes where tablename = $1", table)
        return {row["indexdef"].partition("USING btree ")[2] for row in rows}

    wanted = {"audit_events": "(merchant_id, livemode, id DESC)", "callbacks": "(merchant_id, id DESC)"}[table]
    assert wanted in on_database(mypay, indexes)
