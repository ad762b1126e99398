"""Idempotency over real sockets and two API processes: every rule of the contract, on the real POST."""

import asyncio
import json
import time
from typing import Any

import pytest

from gateway import ids
from gateway.clock import Clock
from gateway.payments.model import Operation
from gateway.settings import Settings
from gateway.store.database import create_pool
from gateway.usecases.record_outcome import Recorder
from streams.sweeper import Sweeper
from tests.accept.answers import decoded, is_replay, lasting
from tests.accept.twins import BODY, FULL, Api, Merchant, Twins
from tests.http.wire import Answer

pytestmark = pytest.mark.xdist_group("twins")


# --- Replays ----------------------------------------------------------------------------------------------------------


def test_twenty_repetitions_are_the_same_to_the_byte(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    accepted = first.pay("key", FULL)
    assert accepted.status == 201
    assert "idempotency-replayed" not in accepted.headers
    assert accepted.headers["location"] == f"/v1/payments/{accepted.json['id']}"
    repeated = [api.pay("key", FULL) for api in (first, second) for _ in range(10)]
    assert [lasting(answer) for answer in repeated] == [lasting(accepted)] * 20
    assert all(is_replay(answer) for answer in repeated)
    assert first.get(accepted.headers["location"]).body == accepted.body
    assert set(twins.database.written(merchant).values()) == {1}


def test_a_lost_answer_is_found_by_repeating(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    with first.connect() as connection:
        connection.sendall(first.payment("key", FULL))  # and nobody reads the answer
        time.sleep(0.2)
    repeated = [api.pay("key", FULL) for api in (second, first) for _ in range(10)]
    assert len({answer.body for answer in repeated}) == 1
    assert all(is_replay(answer) for answer in repeated)
    assert set(twins.database.written(merchant).values()) == {1}


def reordered(value: Any) -> Any:
    """The same JSON with the members of every object in the opposite order."""
    return {name: reordered(value[name]) for name in reversed(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(json.dumps(reordered(FULL)).encode(), id="members in another order"),
        pytest.param(json.dumps(FULL, indent=4, ensure_ascii=False).encode(), id="white space"),
        pytest.param(json.dumps(FULL).replace("amount", "\\u0061mount").encode(), id="escapes"),
    ],
)
def test_spelling_is_no_difference(twins: Twins, merchant: Merchant, written: bytes) -> None:
    accepted = twins.first(merchant).pay("key", FULL)
    repeated = twins.second(merchant).pay("key", written)
    assert lasting(repeated) == lasting(accepted)


def test_quotes_are_no_part_of_the_key(twins: Twins, merchant: Merchant) -> None:
    accepted = twins.first(merchant).pay("key", FULL)
    assert lasting(twins.second(merchant).pay('"key"', FULL)) == lasting(accepted)


def test_the_key_has_a_case(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    assert decoded(first.pay("key", FULL))["id"] != decoded(first.pay("KEY", FULL))["id"]


def test_replays_survive_a_restart(twins: Twins, merchant: Merchant) -> None:
    accepted = twins.first(merchant).pay("key", FULL)
    twins.handles[0].restart()
    twins.wait(0)
    assert lasting(twins.first(merchant).pay("key", FULL)) == lasting(accepted)
    assert set(twins.database.written(merchant).values()) == {1}


def test_prefer_is_no_part_of_the_request_and_shows_the_object_as_it_is_now(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    accepted = first.pay("key", FULL)
    twins.database.fetch(
        "update payments set status = 'succeeded', amount_captured = amount, sequence = 3, updated_at = now()"
        " where merchant_id = $1",
        merchant.id,
    )
    waited = second.pay("key", FULL, Prefer="wait=5")
    assert (waited.status, is_replay(waited)) == (201, True)
    assert waited.headers["preference-applied"] == "wait=5"
    assert waited.body == first.get(accepted.headers["location"]).body
    assert waited.json["status"] == "succeeded"
    assert lasting(second.pay("key", FULL)) == lasting(accepted)


def test_a_replay_is_found_although_no_account_could_take_it_now(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    accepted = first.pay("key", FULL)
    twins.database.fetch("update accounts set enabled = false where merchant_id = $1", merchant.id)
    for api in (first, second):
        refused = refused_at_last(api)
        assert (refused.status, refused.code) == (422, "no_route")
        assert lasting(api.pay("key", FULL)) == lasting(accepted)
        assert api.pay("key", {**FULL, "amount": 1}).code == "idempotency_key_reused"


def refused_at_last(api: Api) -> Answer:
    """The first refusal; what a process remembers about accounts is two seconds old at most."""
    deadline = time.monotonic() + 5
    while (answer := api.pay(body=FULL)).status == 201:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


class Nowhere:
    """Takes commands, callbacks and wakes, and announces nothing."""

    def send(self, operation: Operation, waiter: str | None = None) -> bool:
        return True

    def callback(self, callback_id: Any, provider: str) -> bool:
        return True

    def wake(self, payment_id: Any, waiter: str) -> None:
        return None


async def sweep_once(settings: Settings) -> dict[str, int]:
    """One round of everything that is ever deleted or repaired by itself."""
    async with await create_pool(settings, size=2) as pool:
        recorder = Recorder(settings, Clock(), Nowhere(), Nowhere(), lanes=1)
        sweeper = Sweeper(settings=settings, pool=pool, clock=Clock(), recorder=recorder, announcements=Nowhere())  # type: ignore[arg-type]
        running = asyncio.create_task(sweeper.run())
        async with asyncio.timeout(20):
            while len(sweeper.swept) < len(sweeper._chores):
                await asyncio.sleep(0.02)
        running.cancel()
        await recorder.close()
        return sweeper.swept


def test_a_key_lives_for_thirty_one_days(twins: Twins, merchant: Merchant) -> None:
    accepted = twins.first(merchant).pay("key", FULL)
    twins.database.fetch(
        "update idempotency_keys set created_at = now() - interval '31 days' + interval '1 minute'"
        " where merchant_id = $1",
        merchant.id,
    )
    assert asyncio.run(sweep_once(twins.settings))
    for api in twins.both(merchant):
        assert lasting(api.pay("key", FULL)) == lasting(accepted)
    assert set(twins.database.written(merchant).values()) == {1}


# --- Another request under the same key -------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "amount": {"amount": 15001},
    "currency": {"currency": "ZAR"},
    "phone": {"method": {"type": "mobile_money", "phone": "+26658123457"}},
    "method": {"method": {"type": "card", "token": "tok_ok"}},
    "country": {"country": None},
    "capture": {"capture": "manual"},
    "provider": {"provider": "cpay"},
    "reference": {"reference": "order-1002"},
    "description": {"description": "order 1001"},
    "customer": {"customer": {"name": "Thabo Mokoena", "email": None}},
    "metadata value": {"metadata": {**FULL["metadata"], "ant": "3"}},
    "metadata key": {"metadata": {}},
    "return_url": {"return_url": "https://shop.example/back?cart=78"},
    "expires_in": {"expires_in": 601},
}


def test_every_member_is_changed() -> None:
    assert {name for change in CHANGES.values() for name in change} == FULL.keys()


def test_another_request_is_refused_and_writes_nothing(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    accepted = first.pay("key", FULL)
    for what, change in CHANGES.items():
        for api in (first, second):
            refused = api.pay("key", FULL | change)
            assert (refused.status, refused.code) == (422, "idempotency_key_reused"), what
    for name in FULL.keys() - {"amount", "currency", "method"}:
        without = {member: value for member, value in FULL.items() if member != name}
        assert second.pay("key", without).code == "idempotency_key_reused", name
    named = second.pay("key", {**FULL, "account": merchant.accounts["sandbox"]})
    assert named.code == "idempotency_key_reused"
    assert set(twins.database.written(merchant).values()) == {1}
    assert lasting(second.pay("key", FULL)) == lasting(accepted)


def test_merchants_and_modes_have_keys_of_their_own(twins: Twins, merchant: Merchant) -> None:
    other = twins.new_merchant()
    clients = [
        twins.first(merchant),
        twins.first(other),
        twins.second(merchant, live=True),
        twins.first(other, live=True),
    ]
    answers = [client.pay("key", {**FULL, "amount": 100 + number}) for number, client in enumerate(clients)]
    assert [answer.status for answer in answers] == [201] * 4
    assert not any(is_replay(answer) for answer in answers)
    assert [answer.json["livemode"] for answer in answers] == [False, False, True, True]
    for number, (client, accepted) in enumerate(zip(clients, answers, strict=True)):
        assert lasting(client.pay("key", {**FULL, "amount": 100 + number})) == lasting(accepted)


def test_a_key_belongs_to_its_root(twins: Twins, merchant: Merchant) -> None:
    """The key of a payment's creation is free for its follow-ups, and those of one payment for another's."""
    first, second = twins.both(merchant)
    accepted = [first.pay("key", FULL), first.pay("other", FULL)]
    twins.database.fetch(
        """update payments set status = 'requires_action', next_action = '{"type": "otp", "message": "code"}'
            where merchant_id = $1""",
        merchant.id,
    )
    twins.database.fetch("update operations set state = 'action_required' where merchant_id = $1", merchant.id)
    paths = [f"{answer.headers['location']}/confirm" for answer in accepted]
    confirmed = [confirm(first, path, "123456") for path in paths]
    assert [answer.status for answer in confirmed] == [200, 200]
    assert not any(is_replay(answer) for answer in confirmed)
    assert len({answer.json["operation"]["id"] for answer in confirmed}) == 2
    for path, answer in zip(paths, confirmed, strict=True):
        again = confirm(second, path, "123456")
        assert (lasting(again), is_replay(again)) == (lasting(answer), True)
        assert confirm(second, path, "654321").code == "idempotency_key_reused"
    assert lasting(second.pay("key", FULL)) == lasting(accepted[0])


def confirm(api: Api, path: str, otp: str) -> Answer:
    """Confirm under the key `key`."""
    return api.raw(api.bytes_of("POST", path, {"otp": otp}, key="key"))


# --- Errors are not kept ----------------------------------------------------------------------------------------------


def test_a_key_works_after_every_refusal(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    unknown = ids.show(ids.ACCOUNT, ids.new())
    refusals = [
        (400, "invalid_json", b"{"),
        (400, "invalid_request", {**FULL, "amount": 0}),
        (400, "phone_country_mismatch", {**FULL, "country": "ZA"}),
        (404, "not_found", {**BODY, "account": unknown}),
        (422, "no_route", {**FULL, "provider": "cpay", "currency": "ZAR"}),
        (415, "unsupported_media_type", FULL),
    ]
    for status, code, body in refusals:
        media = {"Content_Type": "text/plain"} if status == 415 else {}
        refused = first.pay("key", body, **media)
        assert (refused.status, refused.code) == (status, code)
    assert set(twins.database.written(merchant).values()) == {0}
    accepted = second.pay("key", FULL)
    assert (accepted.status, is_replay(accepted)) == (201, False)
    assert lasting(first.pay("key", FULL)) == lasting(accepted)
    confirmation = f"{accepted.headers['location']}/confirm"
    assert confirm(first, confirmation, "123456").code == "payment_not_confirmable"
    written = twins.database.written(merchant)
    assert written["idempotency_keys"] == 1
