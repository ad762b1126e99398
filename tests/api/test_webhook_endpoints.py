"""Webhook endpoints over HTTP: secrets shown once, what may be asked for, replays, and whose they are."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway import ids
from gateway.http.endpoints import ENDPOINTS
from gateway.store.database import Connection
from streams.relay import ASSIGN, TAKE
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation

URL = "https://shop.example/hooks"
ROUTES = [each for each in ENDPOINTS if "webhook" in each.path]


def make(client: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = client.post("/v1/webhook_endpoints", json={"url": URL, "events": ["payment.*"], **members})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/webhook_endpoints/{answer.json()['id']}"
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def relay(mypay: Installation) -> None:
    """Give positions to all events, since no worker runs."""

    async def work(connection: Connection) -> None:
        lease = timedelta(seconds=30)
        fence = await connection.fetchval(TAKE, "test", lease)
        await connection.fetch(ASSIGN, fence, lease, 0)
        await connection.execute("update relay set lease_until = '-infinity'")

    on_database(mypay, work)


def deliveries(client: httpx.Client, endpoint: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def test_the_secret_is_shown_once(mypay: Installation, tenant: Tenant) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"url": URL, "events": ["payment.*"]}
    made = tenant.live.post("/v1/webhook_endpoints", json=body, headers=headers).json()
    secret = made.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    url = f"/v1/webhook_endpoints/{made['id']}"
    assert tenant.live.get(url).json() == made
    assert {name: made[name] for name in ("object", "livemode", "url", "events", "status", "address_filter")} == {
        "object": "webhook_endpoint",
        "livemode": True,
        "url": URL,
        "events": ["payment.*"],
        "status": "enabled",
        "address_filter": "on",
    }
    assert (made["public_key"], made["description"], made["previous_secret_expires_at"]) == (None, None, None)
    again = tenant.live.post("/v1/webhook_endpoints", json=body, headers=headers)
    assert code(again, 409) == "secret_already_shown"
    assert [each["id"] for each in tenant.live.get("/v1/webhook_endpoints").json()["data"]] == [made["id"]]

    async def stored(connection: Connection) -> str:
        tables = ("webhook_endpoints", "audit_events", "idempotency_keys", "events")
        return "".join([str(await connection.fetch(f"select t::text from {table} t")) for table in tables])

    assert secret not in on_database(mypay, stored)
    assert base64.b64decode(secret.removeprefix("whsec_")).hex() not in on_database(mypay, stored)


def test_rotation(tenant: Tenant) -> None:
    made = make(tenant.test, asymmetric=True)
    rotated = tenant.test.post(f"/v1/webhook_endpoints/{made['id']}/rotate_secret").json()
    assert rotated["secret"] != made["secret"]
    assert made["public_key"].startswith("whpk_")
    assert rotated["public_key"] not in (None, made["public_key"])
    until = datetime.fromisoformat(rotated["previous_secret_expires_at"])
    assert timedelta(hours=23) < until - datetime.now(UTC) < timedelta(hours=25)
    headers = {"Idempotency-Key": "once"}
    path = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    assert tenant.test.post(path, headers=headers).status_code == 200
    assert code(tenant.test.post(path, headers=headers), 409) == "secret_already_shown"


def test_development_says_that_it_does_not_filter(tenant: Tenant) -> None:
    assert make(tenant.test, url="http://127.0.0.1:9000/hooks")["address_filter"] == "off"
    assert pointers(
        tenant.live.post("/v1/webhook_endpoints", json={"url": "http://127.0.0.1:9000/", "events": ["*"]})
    ) == ["/url"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"events": ["*"]}, "/url"),
        ({"url": URL}, "/events"),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "events": ["*"] * 51}, "/events"),
        ({"url": URL, "events": ["payment.*", "money.*"]}, "/events/1"),
        ({"url": URL, "events": ["ping"]}, "/events/0"),
        ({"url": "https://10.0.0.1/", "events": ["*"]}, "/url"),
        ({"url": "https://shop.example:25/", "events": ["*"]}, "/url"),
        ({"url": "https://a:b@shop.example/", "events": ["*"]}, "/url"),
        ({"url": f"https://shop.example/{'a' * 2048}", "events": ["*"]}, "/url"),
        ({"url": URL, "events": ["*"], "description": "x" * 501}, "/description"),
        ({"url": URL, "events": ["*"], "secret": "whsec_abc"}, "/secret"),
    ],
)
def test_bad_endpoints(tenant: Tenant, body: dict[str, Any], pointer: str) -> None:
    assert pointers(tenant.live.post("/v1/webhook_endpoints", json=body)) == [pointer]


def test_an_endpoint_is_changed_disabled_and_removed(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant.test)
    url = f"/v1/webhook_endpoints/{made['id']}"
    changed = tenant.test.patch(url, json={"events": ["*"], "description": "till 3"}).json()
    assert (changed["events"], changed["description"], changed["url"]) == (["*"], "till 3", URL)
    assert tenant.test.patch(url, json={}).json() == changed
    listening = make(tenant.test, events=["webhook_endpoint.*"])
    tenant.test.post(f"{url}/test")
    disabled = tenant.test.patch(url, json={"status": "disabled"}).json()
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "By request.")
    assert [each["status"] for each in deliveries(tenant.test, made)] == ["canceled"]
    for path in ("test", "replay"):
        asked = tenant.test.post(f"{url}/{path}", json={"from": "2026-01-01T00:00:00Z"} if path == "replay" else {})
        assert code(asked, 409) == "webhook_endpoint_disabled"
    [canceled] = deliveries(tenant.test, made)
    assert code(tenant.test.post(f"/v1/webhook_deliveries/{canceled['id']}/retry"), 409) == "webhook_endpoint_disabled"
    relay(mypay)
    assert len(deliveries(tenant.test, listening)) == 1
    events = tenant.test.get("/v1/events", params={"type": "webhook_endpoint.*"}).json()["data"]
    assert [each["data"]["object"] for each in events] == [disabled]
    assert tenant.test.get("/v1/webhook_endpoints", params={"status": "disabled"}).json()["data"] == [disabled]
    enabled = tenant.test.patch(url, json={"status": "enabled"}).json()
    assert (enabled["status"], enabled["disabled_reason"]) == ("enabled", None)
    assert tenant.test.delete(url).json() == enabled
    assert code(tenant.test.get(url), 404) == "not_found"
    assert code(tenant.test.delete(url), 404) == "not_found"
    actions = [each["action"] for each in tenant.test.get("/v1/audit_events").json()["data"]]
    assert actions == [
        "webhook_endpoint.delete",
        *["webhook_endpoint.update"] * 2,
        "webhook_endpoint.test",
        "webhook_endpoint.create",
        "webhook_endpoint.update",
        "webhook_endpoint.create",
    ]


def test_a_ping_goes_to_the_endpoint_that_is_tested(mypay: Installation, tenant: Tenant) -> None:
    made, other = make(tenant.test), make(tenant.test, events=["*"])
    [first, second] = [tenant.test.post(f"/v1/webhook_endpoints/{made['id']}/test").json()["delivery"] for _ in "12"]
    relay(mypay)
    assert [each["id"] for each in deliveries(tenant.test, made)] == [second["id"], first["id"]]
    assert deliveries(tenant.test, other) == []
    assert (first["status"], first["attempt"], first["endpoint"]) == ("pending", 0, made["id"])
    event = tenant.test.get(f"/v1/events/{first['event']}").json()
    made.pop("secret")
    assert (event["type"], event["sequence"], event["data"]["object"]) == ("ping", 1, made)
    assert tenant.test.get(f"/v1/events/{second['event']}").json()["sequence"] == 2


def test_deliveries_are_listed_filtered_and_tried_again(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant.test)
    payments = [tenant.payment() for _ in range(3)]
    relay(mypay)
    listed = deliveries(tenant.test, made)
    assert len(listed) == len(payments)
    first = tenant.test.get(f"/v1/webhook_endpoints/{made['id']}/deliveries", params={"limit": 2}).json()
    rest = deliveries(tenant.test, made, after=first["next"])
    assert [*first["data"], *rest] == listed
    assert deliveries(tenant.test, made, event=listed[1]["event"]) == [listed[1]]
    assert deliveries(tenant.test, made, event="evt_x") == []
    gone = ids.read("evt", listed[0]["event"])

    async def fail(connection: Connection) -> None:
        await connection.execute(
            "update webhook_deliveries set status = 'failed', attempt = 10, next_attempt_at = null where event_id = $1",
            gone,
        )
        await connection.execute(
            "insert into webhook_attempts select event_id, endpoint_id, n, merchant_id, now(), 12, 500 + n, null, 'no' "
            "from webhook_deliveries, generate_series(1, 10) n where event_id = $1",
            gone,
        )

    on_database(mypay, fail)
    [failed] = deliveries(tenant.test, made, status="failed")
    assert (failed["response_status"], failed["response_excerpt"], failed["next_attempt_at"]) == (510, "no", None)
    assert len(deliveries(tenant.test, made, status=["failed", "pending"])) == 3
    path = f"/v1/webhook_deliveries/{failed['id']}"
    detailed = tenant.test.get(path).json()
    assert [each["response_status"] for each in detailed.pop("attempts")] == list(range(501, 511))
    assert detailed == failed
    again = tenant.test.post(f"{path}/retry").json()
    assert (again["id"], again["status"], again["attempt"]) == (failed["id"], "pending", 10)
    assert again["next_attempt_at"] is not None
    entries = tenant.test.get(f"/v1/payments/{payments[-1]['id']}/timeline").json()["data"]
    attempts = [each["evidence"] for each in entries if each["kind"] == "delivery"]
    assert [each["response_status"] for each in attempts] == list(range(501, 511))
    assert attempts[0]["endpoint"] == made["id"]


def test_replays(mypay: Installation, tenant: Tenant) -> None:
    before = datetime.now(UTC) - timedelta(seconds=60)
    for _ in range(3):
        tenant.payment()
    relay(mypay)
    made = make(tenant.test, events=["refund.*"])
    url = f"/v1/webhook_endpoints/{made['id']}/replay"

    def asked(**body: Any) -> int:
        answer = tenant.test.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["scheduled"])

    since = before.isoformat()
    assert asked(**{"from": since}) == 0
    assert asked(**{"from": since, "events": ["payment.created"]}) == 3
    assert len(deliveries(tenant.test, made)) == 3
    assert asked(**{"from": since, "events": ["payment.*"]}) == 3
    assert len(deliveries(tenant.test, made)) == 3
    events = tenant.test.get("/v1/events").json()["data"]
    middle = events[1]["timestamp"]
    expected = [each for each in events if each["timestamp"] >= middle]
    assert asked(**{"from": middle, "events": ["*"]}) == len(expected)
    assert asked(**{"from": since, "to": middle, "events": ["*"]}) == 3 - len(expected)
    far = {"from": "0001-01-01T00:00:00+23:59"}, {"from": "9999-12-31T23:59:59-23:59"}, {"from": since, "to": since}
    for body in far:
        assert pointers(tenant.test.post(url, json=body)) == ["/from"]
    assert pointers(tenant.test.post(url, json={})) == ["/from"]
    assert pointers(tenant.test.post(url, json={"from": since, "events": ["x"]})) == ["/events/0"]


def test_nobody_reaches_anothers_endpoint_nor_that_of_the_other_mode(
    mypay: Installation, tenant: Tenant, other: Tenant
) -> None:
    made = make(tenant.test)
    tenant.test.post(f"/v1/webhook_endpoints/{made['id']}/test")
    [delivery] = deliveries(tenant.test, made)
    names = {"{endpoint_id}": made["id"], "{delivery_id}": delivery["id"]}
    bodies = {"replayWebhooks": {"from": "2026-01-01T00:00:00Z"}}
    for stranger in (other.test, tenant.live, other.live):
        for route in ROUTES:
            path = route.path
            for name, value in names.items():
                path = path.replace(name, value)
            if path != route.path:
                answer = stranger.request(route.method, path, json=bodies.get(route.id, {}) if route.body else None)
                assert code(answer, 404) == "not_found", route
        assert made["id"] not in stranger.get("/v1/webhook_endpoints").text
    assert deliveries(tenant.test, made) == [delivery]
    assert tenant.test.get(f"/v1/webhook_endpoints/{made['id']}").json()["status"] == "enabled"


def test_there_is_a_limit_to_endpoints(mypay: Installation, tenant: Tenant) -> None:
    made = make(tenant.test)
    wanted = ids.read(ids.WEBHOOK_ENDPOINT, made["id"])

    async def fill(connection: Connection) -> None:
        await connection.execute(
            "insert into webhook_endpoints (id, merchant_id, livemode, url, events, status, sealed, "
            "created_at, updated_at) "
            "select gen_random_uuid(), merchant_id, livemode, url, events, 'disabled', sealed, now(), now() "
            "from webhook_endpoints, generate_series(1, 99) where id = $1",
            wanted,
        )

    on_database(mypay, fill)
    answer = tenant.test.post("/v1/webhook_endpoints", json={"url": URL, "events": ["*"]})
    assert code(answer, 400) == "invalid_request"
    assert "delete one" in answer.json()["detail"]
