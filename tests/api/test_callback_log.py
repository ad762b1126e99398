"""What providers sent, as the merchant sees it; and having it handled again."""

import uuid
from typing import Any

import pytest

from gateway import ids
from gateway.store.database import Connection
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.support.installation import Installation

CARD = "4242424242424242"


def call_back(tenant: Tenant, body: bytes, *, livemode: bool = False, **headers: str) -> dict[str, Any]:
    """Have the merchant's sandbox account called back, and find it in the list."""
    client = tenant.live if livemode else tenant.test
    account = client.get("/v1/accounts").json()["data"][-1]
    path = account["callback_url"].removeprefix(tenant.mypay.base_url)
    assert client.post(path, content=body, headers=headers).status_code == 200
    return dict(client.get("/v1/callbacks?limit=1").json()["data"][0])


def finish(mypay: Installation, callback_id: str, result: str) -> None:
    """What a worker does when it has handled one."""

    async def update(connection: Connection) -> None:
        await connection.execute(
            "update callbacks set state = 'processed', result = $2, event_key = 'k', processed_at = now(),"
            " next_publish_at = null, publishes = 5 where id = $1",
            ids.read(ids.CALLBACK, callback_id),
            result,
        )

    on_database(mypay, update)


def test_a_callback_is_shown_as_it_came_but_for_what_is_masked(tenant: Tenant) -> None:
    body = b'{"card": "' + CARD.encode() + b'", "bad": "\xff"}'
    found = call_back(tenant, body, **{"webhook-signature": "v1,abc", "webhook-id": "msg_1", "x-other": "x"})
    assert ids.read(ids.CALLBACK, found.pop("id"))
    assert found.pop("created_at") == found.pop("updated_at")
    assert found.pop("account").startswith("acc_")
    assert found == {
        "object": "callback",
        "livemode": False,
        "provider": "sandbox",
        "operation": None,
        "method": "POST",
        "query": "",
        "headers": {"webhook-signature": "***", "webhook-id": "msg_1"},
        "body": '{"card": "***4242", "bad": "\N{REPLACEMENT CHARACTER}"}',
        "body_bytes": len(body),
        "state": "received",
        "result": None,
        "processed_at": None,
    }


def test_a_long_body_is_cut_and_a_card_number_at_the_cut_is_masked(tenant: Tenant) -> None:
    found = call_back(tenant, b" " * 4086 + CARD.encode() + b" " * 100_000)
    assert (len(found["body"]), found["body_bytes"]) == (4096, 4086 + 16 + 100_000)
    assert CARD[:10] not in found["body"]


def test_filters_and_pages(mypay: Installation, tenant: Tenant) -> None:
    made = [call_back(tenant, b"%d" % n)["id"] for n in range(3)]
    finish(mypay, made[0], "applied")

    def listed(query: str) -> list[str]:
        return [each["id"] for each in tenant.test.get(f"/v1/callbacks?{query}").json()["data"]]

    assert listed("") == made[::-1]
    assert listed("state=received") == made[:0:-1]
    assert listed("state=processed&provider=sandbox") == made[:1]
    assert listed("provider=cpay") == []
    first = tenant.test.get("/v1/callbacks?limit=2").json()
    rest = tenant.test.get(f"/v1/callbacks?limit=2&after={first['next']}").json()
    assert [each["id"] for each in first["data"] + rest["data"]] == made[::-1]
    assert pointers(tenant.test.get("/v1/callbacks?state=lost")) == ["/state"]


def test_a_replay_makes_it_received_again(mypay: Installation, tenant: Tenant) -> None:
    found = call_back(tenant, b"{}")
    finish(mypay, found["id"], "unreadable")
    url = f"/v1/callbacks/{found['id']}/replay"
    assert tenant.test.post(url).json() == found

    async def row(connection: Connection) -> tuple[Any, ...]:
        columns = "state, result, event_key, processed_at, publishes, next_publish_at > now()"
        record = await connection.fetchrow(
            f"select {columns} from callbacks where id = $1", ids.read(ids.CALLBACK, found["id"])
        )
        assert record is not None
        return tuple(record)

    assert on_database(mypay, row) == ("received", None, None, None, 0, True)
    audited = tenant.test.get(f"/v1/audit_events?object_id={found['id']}").json()["data"]
    assert [each["action"] for each in audited] == ["callback.replay"]


def test_a_repeated_replay_is_one(mypay: Installation, tenant: Tenant) -> None:
    found = call_back(tenant, b"{}")
    url, headers = f"/v1/callbacks/{found['id']}/replay", {"Idempotency-Key": uuid.uuid4().hex}
    first = tenant.test.post(url, headers=headers)
    finish(mypay, found["id"], "applied")
    again = tenant.test.post(url, headers=headers)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert tenant.test.get("/v1/callbacks").json()["data"][0]["state"] == "processed"


@pytest.mark.parametrize("livemode", [False, True])
def test_nobody_reaches_anothers_callback_nor_that_of_the_other_mode(
    tenant: Tenant, other: Tenant, livemode: bool
) -> None:
    found = call_back(tenant, b"{}", livemode=livemode)
    assert found["livemode"] is livemode
    for client in (other.test, other.live, tenant.test if livemode else tenant.live):
        assert client.get("/v1/callbacks").json()["data"] == []
        assert code(client.post(f"/v1/callbacks/{found['id']}/replay"), 404) == "not_found"
    assert code(tenant.test.post(f"/v1/callbacks/{ids.show(ids.CALLBACK, ids.new())}/replay"), 404) == "not_found"
