"""API keys: shown once, restricted to what they say, ended when they end, and never more than who made them."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway import ids, keys
from gateway.http.endpoints import ENDPOINTS, Endpoint
from gateway.store.database import Connection
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation

REFUSED_WITHIN_S = 5
BODY = {"amount": 15000, "currency": "LSL", "method": {"type": "mobile_money", "phone": "+26658123000"}}


def make(tenant: Tenant, client: httpx.Client | None = None, **members: Any) -> tuple[httpx.Client, dict[str, Any]]:
    """A client with a new key, and what was answered."""
    answer = (client or tenant.test).post("/v1/api_keys", json={"name": "till", **members})
    assert answer.status_code == 201, answer.text
    return tenant.client(answer.json()["key"]), dict(answer.json())


def works(client: httpx.Client) -> bool:
    return client.get("/v1/providers").status_code == 200


def ends(client: httpx.Client) -> float:
    """Seconds until a key is refused."""
    began = time.monotonic()
    while works(client):
        assert time.monotonic() < began + 2 * REFUSED_WITHIN_S, "it is never refused"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_key_is_shown_once(mypay: Installation, tenant: Tenant) -> None:
    client, made = make(tenant)
    text = made.pop("key")
    assert keys.is_well_formed(text)
    assert text.startswith("sk_test_")
    assert made["prefix"] == keys.prefix(text)
    assert (made["object"], made["livemode"], made["resources"], made["expires_at"], made["revoked_at"]) == (
        "api_key",
        False,
        None,
        None,
        None,
    )
    url = f"/v1/api_keys/{made['id']}"
    assert tenant.test.get(url).json() == made
    listed = tenant.test.get("/v1/api_keys")
    assert listed.json()["data"][0] == made
    assert text not in listed.text
    assert works(client)

    async def stored(connection: Connection) -> str:
        tables = ("api_keys", "audit_events", "idempotency_keys")
        return "".join([str(await connection.fetch(f"select t::text from {table} t")) for table in tables])

    assert text not in on_database(mypay, stored)
    assert tenant.live.post("/v1/api_keys", json={"name": "x"}).json()["key"].startswith("sk_live_")


def test_a_repeated_request_does_not_show_it_again(tenant: Tenant) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    assert tenant.test.post("/v1/api_keys", json={"name": "till"}, headers=headers).status_code == 201
    again = tenant.test.post("/v1/api_keys", json={"name": "till"}, headers=headers)
    assert code(again, 409) == "secret_already_shown"
    assert code(tenant.test.post("/v1/api_keys", json={"name": "x"}, headers=headers), 422) == "idempotency_key_reused"
    assert [each["name"] for each in tenant.test.get("/v1/api_keys").json()["data"]] == ["till", "test"]


def test_a_revoked_key_is_refused_within_five_seconds(tenant: Tenant) -> None:
    client, made = make(tenant)
    assert works(client)
    revoked = tenant.test.delete(f"/v1/api_keys/{made['id']}").json()
    assert revoked["revoked_at"] is not None
    assert ends(client) < REFUSED_WITHIN_S
    assert code(client.get("/v1/payments"), 401) == "unauthorized"
    again = tenant.test.delete(f"/v1/api_keys/{made['id']}").json()
    assert {**again, "last_used_at": None} == {**revoked, "last_used_at": None}  # written down when it suits


def test_an_expired_key_is_refused(tenant: Tenant) -> None:
    client, made = make(tenant, expires_at=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    assert works(client)
    assert 0.5 < ends(client) < 2 + REFUSED_WITHIN_S
    assert code(tenant.test.post(f"/v1/api_keys/{made['id']}/rotate"), 404) == "not_found"


def test_rotation_overlaps(tenant: Tenant) -> None:
    old, made = make(tenant, resources={"payments": "read"})
    answer = tenant.test.post(f"/v1/api_keys/{made['id']}/rotate")
    new = tenant.client(answer.json()["key"])
    assert (answer.status_code, answer.json()["name"]) == (201, "till")
    assert (answer.json()["resources"], answer.json()["expires_at"]) == ({"payments": "read"}, None)
    assert works(old)
    assert works(new)
    ending = datetime.fromisoformat(tenant.test.get(f"/v1/api_keys/{made['id']}").json()["expires_at"])
    assert timedelta(hours=23) < ending - datetime.now(UTC) < timedelta(hours=25)
    at_once = tenant.test.post(f"/v1/api_keys/{answer.json()['id']}/rotate", json={"expires_in": 0})
    assert ends(new) < REFUSED_WITHIN_S
    assert works(tenant.client(at_once.json()["key"]))
    assert works(old)


def call(client: httpx.Client, endpoint: Endpoint) -> httpx.Response:
    """Call an operation with ids that do not exist, and no body."""
    parts = [f"{part[1:-1]}_x" if part.startswith("{") else part for part in endpoint.path.split("/")]
    return client.request(endpoint.method.upper(), "/".join(parts), headers={"Idempotency-Key": uuid.uuid4().hex})


def resource(endpoint: Endpoint) -> str:
    assert endpoint.permission is not None
    return endpoint.permission.partition(":")[0]


def test_a_restricted_key_does_what_it_may_and_nothing_else(tenant: Tenant) -> None:
    merchants = [each for each in ENDPOINTS if each.permission is not None and each.caller == "merchant"]
    guarded = [each for each in merchants if not each.streams]  # tests/api/test_event_stream.py
    resources = {resource(each) for each in guarded}
    readers = {name: make(tenant, resources={name: "read"})[0] for name in resources}
    writers = {name: make(tenant, resources={name: "write"})[0] for name in resources}
    for endpoint in guarded:
        allowed = {name for name, client in writers.items() if call(client, endpoint).status_code != 403}
        assert allowed == {resource(endpoint)}, endpoint
        allowed = {name for name, client in readers.items() if call(client, endpoint).status_code != 403}
        assert allowed == ({resource(endpoint)} if endpoint.method == "get" else set()), endpoint
    answer = readers["events"].post("/v1/payments", json=BODY, headers={"Idempotency-Key": "k"})
    assert code(answer, 403) == "forbidden"
    assert "payments:write" in answer.json()["detail"]


def test_a_restricted_key_takes_payments_and_reads_the_catalogue(tenant: Tenant) -> None:
    client, made = make(tenant, resources={"payments": "write"})
    assert made["key"].startswith("rk_test_")
    assert client.post("/v1/payments", json=BODY, headers={"Idempotency-Key": "k"}).status_code == 201
    assert client.get("/v1/payments").status_code == 200
    assert works(client)
    assert client.options("/v1/accounts").status_code == 204


def test_nobody_grants_what_he_does_not_have(tenant: Tenant) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    client, _ = make(tenant, resources={"api_keys": "write", "payments": "read"}, expires_at=until.isoformat())
    for more in (None, {"payments": "write"}, {"events": "read"}):
        assert code(client.post("/v1/api_keys", json={"name": "x", "resources": more}), 403) == "forbidden"
    _, less = make(tenant, client, resources={"payments": "read"})
    assert datetime.fromisoformat(less["expires_at"]) <= until
    _, full = make(tenant)
    assert code(client.post(f"/v1/api_keys/{full['id']}/rotate"), 403) == "forbidden"
    assert client.post(f"/v1/api_keys/{less['id']}/rotate").status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x", "resources": {}}, "/resources"),
        ({"name": "x", "resources": {"payments": "all"}}, "/resources/payments"),
        ({"name": "x", "resources": {"money": "read"}}, "/resources/money"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "expires_at": "9999-12-31T23:59:59-23:59"}, "/expires_at"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"name": "x", "livemode": True}, "/livemode"),
        ({"name": "x", "merchant": "mer_x"}, "/merchant"),
        ({"name": "x", "ip_ranges": []}, "/ip_ranges"),
        ({"name": "x", "ip_ranges": ["10.0.0.0/8", "10.0.0.1/8"]}, "/ip_ranges/1"),
        ({"name": "x", "ip_ranges": ["localhost"]}, "/ip_ranges/0"),
    ],
)
def test_bad_keys(tenant: Tenant, body: dict[str, Any], pointer: str) -> None:
    assert pointers(tenant.test.post("/v1/api_keys", json=body)) == [pointer]


def test_nobody_reaches_anothers_key_nor_that_of_the_other_mode(tenant: Tenant, other: Tenant) -> None:
    client, made = make(tenant)
    url = f"/v1/api_keys/{made['id']}"
    for stranger in (other.test, tenant.live, other.live):
        for answer in (stranger.get(url), stranger.delete(url), stranger.post(f"{url}/rotate")):
            assert code(answer, 404) == "not_found"
        assert made["id"] not in stranger.get("/v1/api_keys").text
    assert works(client)
    assert code(tenant.test.get(f"/v1/api_keys/{ids.show(ids.API_KEY, ids.new())}"), 404) == "not_found"
