"""Many requests with one key at the same time, over two processes, one of which is killed."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.accept.answers import answered, decoded, flood, is_replay
from tests.accept.twins import FULL, Merchant, Twins

pytestmark = pytest.mark.xdist_group("twins")


def test_two_hundred_at_once_are_one_payment(twins: Twins, merchant: Merchant) -> None:
    clients = twins.both(merchant)
    answers = answered(
        flood([(clients[n % 2], clients[n % 2].payment("key", FULL)) for n in range(200)], connections=100)
    )
    assert {answer.status for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status == 201]
    assert len({answer.body for answer in made}) == 1
    assert [is_replay(answer) for answer in made].count(False) == 1
    assert set(twins.database.written(merchant).values()) == {1}


def test_two_bodies_at_once_under_one_key(twins: Twins, merchant: Merchant) -> None:
    """One of them wins everywhere; the other is refused everywhere."""
    clients = twins.both(merchant)
    bodies = [{**FULL, "amount": amount} for amount in (1, 2)]
    for turn in range(20):
        sent = [(clients[n % 2], clients[n % 2].payment(f"key-{turn}", bodies[n // 2 % 2])) for n in range(8)]
        answers = answered(flood(sent, connections=8))
        statuses = [answer.status for answer in answers]
        won = {n // 2 % 2 for n, status in enumerate(statuses) if status == 201}
        assert Counter(statuses) == {201: 4, 422: 4}
        assert len(won) == 1
    assert set(twins.database.written(merchant).values()) == {20}


def test_a_process_is_killed_in_the_middle(twins: Twins, merchant: Merchant) -> None:
    clients = twins.both(merchant)
    keys = [uuid.uuid4().hex for _ in range(300)]
    sent = [(clients[n % 2], clients[n % 2].payment(keys[n // 5], FULL)) for n in range(5 * len(keys))]
    with ThreadPoolExecutor() as elsewhere:
        running = elsewhere.submit(flood, sent, connections=20)
        while twins.database.written(merchant)["payments"] < 50:
            assert not running.done()
        twins.handles[1].kill()
        answers = running.result()
    assert None in answers, "it was killed too late"
    twins.handles[1].restart()
    twins.wait(1)
    told: dict[str, set[str]] = {key: set() for key in keys}
    for n, answer in enumerate(answers):
        if answer is not None:
            told[keys[n // 5]].add(decoded(answer)["id"])
    for key in keys:
        found = {decoded(api.pay(key, FULL))["id"] for api in twins.both(merchant)}
        assert len(found) == 1
        assert told[key] <= found
    assert set(twins.database.written(merchant).values()) == {len(keys)}


def test_thousands_of_keys_at_once(twins: Twins, merchant: Merchant) -> None:
    clients = twins.both(merchant)
    answers = answered(flood([(clients[n % 2], clients[n % 2].payment(f"key-{n}")) for n in range(2000)]))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 2000
    assert set(twins.database.written(merchant).values()) == {2000}
