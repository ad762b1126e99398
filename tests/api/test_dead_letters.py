"""What workers could not handle: a merchant sees what names an account of his own, and has it handled again."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest

from gateway import ids
from gateway.store.database import Connection
from streams import topics
from tests.api.tenants import Tenant, code, on_database
from tests.streams.support import send_raw
from tests.support.installation import Installation

ENDS_WITHIN_S = 60


@pytest.fixture
def tenant(working: Installation) -> Tenant:
    """A merchant where workers run."""
    return Tenant(working)


def send(tenant: Tenant, value: bytes, topic: str = topics.commands("sandbox")) -> None:
    """Put a record on a topic that no process of ours would make."""
    asyncio.run(send_raw(tenant.mypay.settings, topic, {"value": value}))


def command(tenant: Tenant, *, livemode: bool = False) -> bytes:
    """One that cannot be read, and names the merchant's account."""
    client = tenant.live if livemode else tenant.test
    account = client.get("/v1/accounts").json()["data"][0]["id"]
    members = {"operation": "op_x", "payment": "pay_x", "account": account, "verb": "dance", "otp": "123456"}
    return json.dumps(members).encode()


def letters(tenant: Tenant, count: int, *, livemode: bool = False) -> list[dict[str, Any]]:
    """The list, once it has so many."""
    client, deadline = tenant.live if livemode else tenant.test, time.monotonic() + ENDS_WITHIN_S
    while len(found := client.get("/v1/dead_letters?limit=100").json()["data"]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(found) == count
    return list(found)


def test_a_merchant_sees_what_names_an_account_of_his(working: Installation, tenant: Tenant) -> None:
    send(tenant, command(tenant))
    [found] = letters(tenant, 1)
    assert ids.read(ids.DEAD_LETTER, found.pop("id"))
    assert found.pop("offset") >= 0
    assert found.pop("created_at") == found.pop("updated_at")
    assert json.loads(found.pop("value"))["otp"] == "***"
    assert found.pop("error").startswith("Unreadable: ValidationError: not a Command")
    assert found == {
        "object": "dead_letter",
        "livemode": False,
        "topic": topics.commands("sandbox"),
        "partition": 0,
        "replayed_at": None,
    }
    other = Tenant(working)
    for client in (tenant.live, other.test, other.live):
        assert client.get("/v1/dead_letters").json()["data"] == []


def test_it_is_handled_again_and_that_is_audited(tenant: Tenant) -> None:
    send(tenant, command(tenant))
    [first] = letters(tenant, 1)
    url, headers = f"/v1/dead_letters/{first['id']}/replay", {"Idempotency-Key": uuid.uuid4().hex}
    answer = tenant.test.post(url, headers=headers)
    assert answer.status_code == 200, answer.text
    replayed = answer.json()
    assert replayed["replayed_at"] == replayed["updated_at"]
    assert {**replayed, "replayed_at": None, "updated_at": first["updated_at"]} == first
    again = letters(tenant, 2)  # it is as unreadable as before
    assert again[1] == replayed
    assert again[0]["offset"] > first["offset"]
    repeated = tenant.test.post(url, headers=headers)
    assert (repeated.content, repeated.headers["idempotency-replayed"]) == (answer.content, "true")
    trail = tenant.test.get(f"/v1/audit_events?object_id={first['id']}").json()["data"]
    assert [each["action"] for each in trail] == ["dead_letter.replay"]


def test_a_callbacks_record_is_its_accounts(tenant: Tenant) -> None:
    path = tenant.live.get("/v1/accounts").json()["data"][0]["callback_url"].removeprefix(tenant.mypay.base_url)
    assert tenant.live.post(path, content=b"{}").status_code == 200
    callback = tenant.live.get("/v1/callbacks").json()["data"][0]["id"]
    send(tenant, json.dumps({"callback": callback}).encode(), topics.callbacks("sandbox"))
    [found] = letters(tenant, 1, livemode=True)
    assert found["livemode"] is True


def test_what_names_nobody_is_for_operators(working: Installation, tenant: Tenant) -> None:
    marked = uuid.uuid4().hex
    send(tenant, marked.encode())
    send(tenant, command(tenant))
    assert len(letters(tenant, 1)) == 1  # sent after the other one

    async def row(connection: Connection) -> Any:
        return await connection.fetchrow("select id, merchant_id from dead_letters where value = $1", marked.encode())

    found = on_database(working, row)
    assert found["merchant_id"] is None
    shown = ids.show(ids.DEAD_LETTER, found["id"])
    assert code(tenant.test.post(f"/v1/dead_letters/{shown}/replay"), 404) == "not_found"
    mine = letters(tenant, 1)[0]["id"]
    for arguments, expected in (
        (["dlq", "show", shown], marked),
        (["dlq", "replay", shown, mine], "2 of 2 dead letters were sent"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            env={**working.environment, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout
    trail = tenant.test.get(f"/v1/audit_events?object_id={mine}").json()["data"]
    assert [(each["action"], each["actor"].partition(":")[0]) for each in trail] == [("dead_letter.replay", "operator")]


def test_pages(tenant: Tenant) -> None:
    for _ in range(3):
        send(tenant, command(tenant))
    made = [each["id"] for each in letters(tenant, 3)]
    first = tenant.test.get("/v1/dead_letters?limit=2").json()
    rest = tenant.test.get(f"/v1/dead_letters?limit=2&after={first['next']}").json()
    assert [each["id"] for each in first["data"] + rest["data"]] == made
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_nobody_replays_anothers(working: Installation, tenant: Tenant) -> None:
    send(tenant, command(tenant))
    url = f"/v1/dead_letters/{letters(tenant, 1)[0]['id']}/replay"
    for client in (Tenant(working).test, tenant.live):
        assert code(client.post(url), 404) == "not_found"
    made = tenant.test.post("/v1/api_keys", json={"name": "k", "resources": {"callbacks": "read"}}).json()
    reader = tenant.client(made["key"])
    assert reader.get("/v1/dead_letters").status_code == 200
    assert code(reader.post(url), 403) == "forbidden"
