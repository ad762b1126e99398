"""Nobody reaches what is another's: every operation and every id of the document, asked by everybody else.

Everybody else: another merchant, the merchant itself in the other mode, and a person who acts for another merchant.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from msgspec import Struct

from gateway import ids
from streams import topics
from tests.api import people
from tests.api.tenants import Tenant
from tests.contract.api import Operation, operations
from tests.streams.support import send_raw
from tests.support.installation import Installation

WITHIN_S = 60
PUBLIC = {"name"}  # a provider's, the same for all
INSTALLATIONS = {"merchant_id", "user_id"}  # for people alone, whose the whole installation is
STRANGE = ("0", "-1", str(uuid.uuid4()), "x" * 10_000, "%00", "..%2f", "pay_", "PAY_01K6X0Q4MXE4RB2D5A0M7V9T3C", "é")


class Owned(Struct, frozen=True):
    """What a merchant has in one mode: an object for each parameter of a path."""

    livemode: bool
    names: dict[str, str]


class World:
    """Two merchants, one of whom has one of everything; who asks, and for what."""

    def __init__(self, mypay: Installation) -> None:
        self.operations = operations(mypay)
        self.first, self.second = Tenant(mypay), Tenant(mypay)
        self.test = Owned(False, _everything(self.first))
        self.live = Owned(True, _what_needs_no_provider(self.first))
        self._mypay = mypay
        self._token = people.signed_in(mypay, mypay.email, mypay.password)["access_token"]

    def person(self, tenant: Tenant, *, livemode: bool) -> httpx.Client:
        """An owner of the installation, acting for a merchant."""
        merchant = ids.show(ids.MERCHANT, tenant.merchant_id)
        headers = {"MyPay-Merchant": merchant, "MyPay-Livemode": str(livemode).lower()}
        return people.client(self._mypay, self._token, **headers)

    def strangers(self, livemode: bool) -> Iterator[tuple[str, httpx.Client]]:
        """Everybody who must not see what the first merchant has in this mode."""
        yield "another merchant", self.second.live if livemode else self.second.test
        yield "another merchant in the other mode", self.second.test if livemode else self.second.live
        yield "the merchant in the other mode", self.first.test if livemode else self.first.live
        yield "a person for another merchant", self.person(self.second, livemode=livemode)
        yield "a person in the other mode", self.person(self.first, livemode=not livemode)

    def by_id(self) -> Iterator[Operation]:
        """Every operation on an object of a merchant."""
        for each in self.operations:
            if each.parameters and not {*each.parameters} & (PUBLIC | INSTALLATIONS):
                yield each

    def lists(self) -> Iterator[Operation]:
        """Every list of a merchant's objects."""
        return (each for each in self.operations if each.is_list and not each.parameters and not each.needs_person)


def _created(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "wait=20"}
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def _first(client: httpx.Client, path: str) -> str:
    """The id of the newest of a list, once it has one."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := client.get(path).json()["data"]):
        assert time.monotonic() < deadline, path
        time.sleep(0.05)
    return str(found[0]["id"])


def _what_needs_no_provider(tenant: Tenant, *, livemode: bool = True) -> dict[str, str]:
    client, phone = tenant.live if livemode else tenant.test, "+26658123001"
    wallet = {"type": "mobile_money", "phone": phone}
    money = {"amount": 15000, "currency": "LSL"}
    endpoint = _created(client, "/v1/webhook_endpoints", url="https://shop.example/hooks", events=["account.*"])["id"]
    return {
        "payment_id": _created(client, "/v1/payments", **money, method=wallet)["id"],
        "payout_id": _created(client, "/v1/payouts", **money, destination=wallet)["id"],
        "account_id": client.get("/v1/accounts").json()["data"][0]["id"],
        "key_id": client.get("/v1/api_keys").json()["data"][0]["id"],
        "endpoint_id": endpoint,
        "delivery_id": _created(client, f"/v1/webhook_endpoints/{endpoint}/test")["delivery"]["id"],
        "event_id": _first(client, "/v1/events"),
    }


def _everything(tenant: Tenant) -> dict[str, str]:
    names = _what_needs_no_provider(tenant, livemode=False)
    letter = (
        b'{"operation": "op_x", "payment": "pay_x", "account": "%s", "verb": "dance"}' % names["account_id"].encode()
    )
    asyncio.run(send_raw(tenant.mypay.settings, topics.commands("sandbox"), {"value": letter}))
    return {
        **names,
        "refund_id": _created(tenant.test, "/v1/refunds", payment=names["payment_id"], amount=1)["id"],
        "callback_id": _first(tenant.test, "/v1/callbacks"),
        "dead_letter_id": _first(tenant.test, "/v1/dead_letters"),
    }


@pytest.fixture(scope="module")
def world(mypay: Installation) -> World:
    return World(mypay)


def refused(answer: httpx.Response) -> bool:
    """Whether it says that there is no such object, and nothing about it."""
    return answer.status_code == 404 and answer.json()["code"] == "not_found"


def test_there_is_one_of_everything(world: World) -> None:
    named = {name for each in world.operations for name in each.parameters}
    assert named - PUBLIC - INSTALLATIONS == set(world.test.names)
    for each in world.by_id():
        if each.method == "get":
            assert each.call(world.first.test, world.test.names).status_code == 200, each.id


@pytest.mark.parametrize("owned", ["test", "live"])
def test_nobody_else_reaches_an_object(world: World, owned: str) -> None:
    has: Owned = getattr(world, owned)
    asked = [
        (each.id, who, each.call(client, has.names))
        for who, client in world.strangers(has.livemode)
        for each in world.by_id()
        if {*each.parameters} <= set(has.names)
    ]
    assert len(asked) > 100
    assert [(name, who, answer.text) for name, who, answer in asked if not refused(answer)] == []


def test_nothing_came_of_it(world: World) -> None:
    """Whatever others tried before, the owner's objects are as they were."""
    for each in world.by_id():
        if each.method == "get":
            assert each.call(world.first.test, world.test.names).status_code == 200, each.id
    enabled = world.first.test.get(f"/v1/accounts/{world.test.names['account_id']}").json()
    key = world.first.test.get(f"/v1/api_keys/{world.test.names['key_id']}").json()
    endpoint = world.first.test.get(f"/v1/webhook_endpoints/{world.test.names['endpoint_id']}").json()
    assert (enabled["enabled"], key["revoked_at"], endpoint["status"]) == (True, None, "enabled")


@pytest.mark.parametrize("owned", ["test", "live"])
def test_no_list_shows_what_is_anothers(world: World, owned: str) -> None:
    has: Owned = getattr(world, owned)
    for who, client in world.strangers(has.livemode):
        for each in world.lists():
            answer = each.call(client, {})
            assert answer.status_code == 200, (each.id, who, answer.text)
            shown = [name for name in has.names.values() if name in answer.text]
            assert shown == [], (each.id, who)


def test_a_filter_that_names_anothers_object_finds_nothing(world: World) -> None:
    names = world.test.names
    values = {"account": "account_id", "payment": "payment_id", "object_id": "payment_id"}
    asked = 0
    for who, client in world.strangers(livemode=False):
        for each in world.lists():
            for name in {*each.filters} & set(values):
                answer = each.call(client, {}, **{name: names[values[name]]})
                assert (answer.status_code, answer.json()["data"]) == (200, []), (each.id, name, who)
                asked += 1
    assert asked >= 20


BODIES: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "createPayment": lambda names: {"account": names["account_id"]},
    "createPayout": lambda names: {"account": names["account_id"]},
    "previewRoute": lambda names: {"account": names["account_id"]},
    "createRefund": lambda names: {"payment": names["payment_id"]},
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_names_anothers_object_is_refused(world: World, name: str) -> None:
    [operation] = [each for each in world.operations if each.id == name]
    for who, client in world.strangers(livemode=False):
        body = {**(operation.body or {}), **BODIES[name](world.test.names)}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        answer = client.request(operation.method, operation.path, json=body, headers=headers)
        assert refused(answer), (who, answer.text)


def test_what_cannot_be_an_id_is_unknown(world: World) -> None:
    for each in world.by_id():
        for strange in (*STRANGE, world.test.names["event_id"] if "event_id" not in each.parameters else "pay_x"):
            answer = each.call(world.first.test, dict.fromkeys(each.parameters, strange))
            assert refused(answer), (each.id, strange[:50], answer.status_code)


def test_keys_are_not_for_the_installation(world: World) -> None:
    for each in world.operations:
        if each.needs_person:
            answer = each.call(world.first.live, dict.fromkeys(each.parameters, "usr_x"))
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), each.id
