"""Sending again and asking: only what provably had no effect is sent again, and asking ends with a person."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest

from gateway.clock import Clock
from gateway.payments.decisions import JITTER, REASK_S, SENDS_MAX, THROTTLES_MAX
from gateway.payments.model import State
from gateway.payments.queries import SETTLED_INTERVAL_S
from gateway.settings import Settings
from providers.contract import Absent, Declined, NotSent, Outcome, Pending, Succeeded, Throttled, Unknown
from providers.declines import DeclineCode
from providers.registry import PROVIDERS
from tests.engine.conftest import Announced, Begin, Later
from tests.engine.teller import Teller
from tests.support.parts import Parts, fresh_database, installation_settings

REFUSED = NotSent(detail="connection refused")
TIMEOUT = Unknown(detail="timeout")
PACE = 1.0  # time passes by the recorder's clock: real seconds leave a busy machine room
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def settings(parts: Parts) -> Iterator[Settings]:
    with fresh_database(parts) as uri:
        yield msgspec.structs.replace(installation_settings(parts, uri), pace=PACE)


async def seconds_until(tell: Teller, appointment: str) -> float:
    """From the last change of the charge to an appointment of its."""
    row = await tell.story.operation()
    at: datetime = row[appointment]
    return float((at - row["updated_at"]).total_seconds())


# --- Sending again --------------------------------------------------------------------------------------------------


async def test_not_sent_three_times_is_given_up(begin: Begin) -> None:
    tell = await begin()
    waits = []
    for fence in range(1, SENDS_MAX):
        await tell.performed(REFUSED, fence=fence)
        assert (await tell.state(), await tell.status()) == (State.PREPARED, "processing")
        waits.append(await seconds_until(tell, "next_publish_at"))
    assert waits == [0.5 * PACE, 2 * PACE]
    await tell.performed(REFUSED, fence=SENDS_MAX)
    assert await tell.story.events() == ["created", "processing", "failed"]
    failure = msgspec.json.decode((await tell.story.payment())["failure"])
    assert (failure["code"], failure["advice"]) == ("provider_unavailable", "retry_later")
    row = await tell.story.operation()
    assert (row["state"], row["sends"], row["fence"]) == ("not_sent", 3, 3)
    assert (row["next_publish_at"], row["next_query_at"]) == (None, None)


async def test_throttled_waits_as_long_as_the_provider_says(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(Throttled(retry_after_s=90))
    assert await tell.state() is State.PREPARED
    assert await seconds_until(tell, "next_publish_at") == 90


async def test_throttling_has_more_patience_than_a_lost_connection(begin: Begin) -> None:
    tell = await begin()
    for fence in range(1, THROTTLES_MAX + 1):
        assert await tell.status() in ("pending", "processing")
        await tell.performed(Throttled(), fence=fence)
    assert await tell.status() == "failed"
    assert (await tell.story.operation())["sends"] == THROTTLES_MAX


async def test_an_unknown_is_asked_about_and_never_sent(begin: Begin, announced: Announced) -> None:
    for provider in PROVIDERS:
        tell = await begin(provider=provider)
        await tell.performed(TIMEOUT)
        row = await tell.story.operation()
        assert (row["state"], row["next_publish_at"]) == ("unknown", None)
        declared = PROVIDERS[provider].queries.delays_s[0] * PACE
        assert declared <= await seconds_until(tell, "next_query_at") <= declared * (1 + JITTER)
        root = await tell.claim("worker/2")
        assert root is not None
        assert root.stale == ["operation unknown: claimed"]
        assert (await tell.status(), announced.operations) == ("processing", [])


# --- Absence --------------------------------------------------------------------------------------------------------


async def test_absence_counts_only_after_the_declared_delay(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.performed(TIMEOUT)
    await tell.queried(Absent())  # at once: the provider promises nothing for 2 s (times the pace)
    assert await tell.state() is State.UNKNOWN
    assert (await tell.story.operation())["next_query_at"] is not None
    later(2 * PACE)
    await tell.queried(Absent())
    assert await tell.state() is State.PREPARED
    assert (await tell.story.operation())["sends"] == 1


async def test_absence_that_nobody_asked_about_is_no_answer(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(Absent())
    assert await tell.state() is State.UNKNOWN
    assert (await tell.story.operation())["next_query_at"] is not None


async def test_absence_counts_by_when_it_was_asked(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.performed(TIMEOUT)
    await tell.ask()
    query_id = await tell.live_query()
    await tell.claim("worker/query", operation_id=query_id)
    later(60)  # the answer was long under way
    await tell.answer(Absent(), operation_id=query_id)
    assert await tell.state() is State.UNKNOWN


async def test_without_an_answer_absence_counts_from_the_lease(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.claim(lease_s=10)
    later(10.01)
    await tell.lease_ended()
    await tell.queried(Absent())
    assert await tell.state() is State.UNKNOWN
    later(5)
    await tell.queried(Absent())
    assert await tell.state() is State.PREPARED


async def test_absent_three_times_is_given_up(begin: Begin, later: Later) -> None:
    tell = await begin()
    for fence in range(1, SENDS_MAX + 1):
        await tell.performed(TIMEOUT, fence=fence)
        later(5)
        await tell.queried(Absent())
    assert await tell.story.events() == ["created", "processing", "failed"]
    assert (await tell.state(), await tell.status()) == (State.NOT_SENT, "failed")


@pytest.mark.parametrize("first_word", [Absent(), TIMEOUT])
async def test_what_was_closed_by_absence_is_asked_about_twice_more(
    begin: Begin, later: Later, first_word: Outcome
) -> None:
    """Also where the first of these questions got no answer. What the second finds is a late success."""
    tell = await begin()
    await tell.story.force(sends=SENDS_MAX - 1)
    await tell.performed(TIMEOUT)
    later(5)
    await tell.queried(Absent())
    assert await tell.state() is State.NOT_SENT
    assert await seconds_until(tell, "next_query_at") == REASK_S[0] * PACE
    later(REASK_S[0] * PACE)
    await tell.queried(first_word)
    assert (await tell.story.operation())["next_query_at"] is not None, "the second question is forgotten"
    later(REASK_S[1] * PACE)
    await tell.queried(Succeeded())
    assert await tell.story.events() == ["created", "processing", "failed", "succeeded", "review"]
    assert await tell.story.review() == "late_success"


async def test_asking_after_absence_ends(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.story.force(sends=SENDS_MAX - 1)
    await tell.performed(TIMEOUT)
    later(5)
    await tell.queried(Absent())
    for delay in REASK_S:
        later(delay * PACE)
        await tell.queried(Absent())
    assert (await tell.story.operation())["next_query_at"] is None
    assert await tell.status() == "failed"


async def test_absence_at_cpay_never_counts(begin: Begin, later: Later) -> None:
    tell = await begin(provider="cpay")
    await tell.performed(TIMEOUT)
    for _ in range(3):
        later(3600)
        await tell.queried(Absent())
        assert (await tell.state(), await tell.status()) == (State.UNKNOWN, "processing")
    assert (await tell.story.operation())["sends"] == 1


@pytest.mark.parametrize("known", [Pending(), Succeeded()])
async def test_absence_of_what_the_provider_had_acknowledged_proves_nothing(
    begin: Begin, later: Later, known: Outcome
) -> None:
    tell = await begin()
    await tell.performed(TIMEOUT)
    await tell.ask()
    await tell.proof(known)
    before = await tell.state()
    later(60)
    query_id = await tell.live_query()
    assert query_id is not None
    await tell.answer(Absent(), operation_id=query_id)
    assert await tell.state() is before


# --- Asking ---------------------------------------------------------------------------------------------------------


async def test_one_question_at_a_time_and_not_too_often(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.performed(TIMEOUT)
    for _ in range(3):
        await tell.ask()
    assert await tell.queries() == 1
    await tell.queried(Pending())
    await tell.story.force(asked_at=Clock().now() + timedelta(seconds=5))  # so that no busy machine makes it long ago
    await tell.ask()
    assert await tell.queries() == 1
    row = await tell.story.operation()
    assert row["next_query_at"] - row["asked_at"] == timedelta(
        seconds=PROVIDERS["sandbox"].queries.min_interval_s * PACE
    )
    later(6)
    await tell.ask()
    assert await tell.queries() == 2


async def test_a_query_that_gets_no_answer_is_followed_by_another(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.performed(TIMEOUT)
    for outcome in (TIMEOUT, REFUSED, Throttled()):
        later(60)
        await tell.queried(outcome)
        assert await tell.state() is State.UNKNOWN
        assert (await tell.story.operation())["next_query_at"] is not None
    later(60)
    await tell.queried(Succeeded())
    assert await tell.status() == "succeeded"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_asking_ends_with_a_person_not_with_a_failure(begin: Begin, later: Later, provider: str) -> None:
    tell = await begin(provider=provider, expires_in_s=30 * DAY_S)
    await tell.performed(TIMEOUT)
    later(PROVIDERS[provider].queries.end_s * PACE + 1)
    await tell.ask()
    assert await tell.queries() == 0
    assert (await tell.status(), await tell.story.review()) == ("processing", "unknown_outcome")
    assert (await tell.story.operation())["next_query_at"] is None
    await tell.proof(Succeeded())
    assert await tell.story.events() == ["created", "processing", "review", "succeeded", "review_resolved"]


async def test_a_question_that_became_moot_is_not_put(begin: Begin, later: Later) -> None:
    """It was prepared before the outcome came."""
    tell = await begin()
    await tell.performed(TIMEOUT)
    await tell.ask()
    query_id = await tell.live_query()
    later(1)
    await tell.proof(Succeeded())
    await tell.claim("worker/query", operation_id=query_id)
    assert (await tell.story.operation("query"))["state"] == "not_sent"


async def test_doubts_about_what_is_settled_are_put_once_a_minute(begin: Begin, later: Later) -> None:
    """An unsigned callback about a failed payment: who knows? But callbacks may come in any number."""
    tell = await begin(provider="cpay")
    await tell.performed(Declined(code=DeclineCode.DECLINED))
    later(1)
    await tell.ask()
    query_id = await tell.live_query()
    await tell.claim("worker/query", operation_id=query_id)
    assert (await tell.story.operation("query"))["state"] == "sent"
    await tell.answer(Declined(code=DeclineCode.DECLINED), operation_id=query_id)
    for _ in range(5):
        later(SETTLED_INTERVAL_S * PACE / 6)
        await tell.ask()
    assert await tell.queries() == 1
    later(SETTLED_INTERVAL_S * PACE)
    await tell.queried(Succeeded())
    assert await tell.queries() == 2
    assert await tell.story.review() == "late_success"
