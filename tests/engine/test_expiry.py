"""Expiry and cancel: they end only what cannot have taken money, and ask before they end what may have."""

import msgspec
import pytest

from gateway.payments.model import State, Status
from providers.contract import ActionRequired, Authorized, Declined, Otp, Outcome, Pending, Succeeded, Unknown
from providers.declines import DeclineCode
from tests.engine.conftest import Announced, Begin, Later

TIMEOUT = Unknown(detail="timeout")
OTP = ActionRequired(action=Otp("Enter the code."))


async def test_a_payment_expires_when_its_time_is_over_and_not_before(begin: Begin, later: Later) -> None:
    tell = await begin(expires_in_s=60)
    later(50)
    root = await tell.expire()
    assert root is not None
    assert root.stale == ["payment pending: expired"]
    later(20)
    await tell.expire()
    assert await tell.story.events() == ["created", "expired"]
    failure = msgspec.json.decode((await tell.story.payment())["failure"])
    assert failure["code"] == "expired"


async def test_nobody_is_prompted_for_a_dead_order(begin: Begin, announced: Announced) -> None:
    tell = await begin()
    await tell.end_its_time()
    root = await tell.claim()
    assert root is not None
    assert root.operations[tell.operation_id].owner is None
    row = await tell.story.operation()
    assert (row["state"], row["sends"], row["next_publish_at"]) == ("not_sent", 0, None)
    assert await tell.story.events() == ["created", "expired"]
    assert announced.operations == []


@pytest.mark.parametrize("waiting", [Pending(), OTP])
async def test_what_may_have_taken_money_is_asked_about_first(begin: Begin, later: Later, waiting: Outcome) -> None:
    tell = await begin()
    await tell.performed(waiting)
    status = await tell.status()
    await tell.end_its_time()
    await tell.expire()
    assert await tell.status() == status, "it is only asked about"
    assert await tell.queries() == 1
    await tell.queried(waiting)
    assert (await tell.status(), await tell.state()) == ("expired", State.LAPSED)
    assert (await tell.story.events())[-1] == "expired"


async def test_a_question_from_before_the_end_does_not_end_it(begin: Begin, later: Later) -> None:
    tell = await begin(expires_in_s=60)
    await tell.performed(Pending())
    later(59)
    await tell.ask()
    query_id = await tell.live_query()
    await tell.claim("worker/query", operation_id=query_id)
    later(2)
    await tell.answer(Pending(), operation_id=query_id)  # as it was a second before the end
    assert await tell.status() == "processing"
    await tell.expire()
    await tell.queried(Pending())
    assert await tell.status() == "expired"


@pytest.mark.parametrize(
    ("said", "status"),
    [(Succeeded(), "succeeded"), (Declined(code=DeclineCode.PAYER_CANCELED), "failed"), (TIMEOUT, "processing")],
)
async def test_what_the_provider_says_at_the_end_counts(begin: Begin, said: Outcome, status: str) -> None:
    tell = await begin()
    await tell.performed(Pending())
    await tell.end_its_time()
    await tell.expire()
    await tell.queried(said)
    assert await tell.status() == status
    assert await tell.story.review() is None
    waits = (await tell.story.operation())["next_query_at"] is not None
    assert waits == (status == "processing"), "without an answer it is asked again"


@pytest.mark.parametrize("state", [State.SENT, State.UNKNOWN])
async def test_an_unknown_never_expires(begin: Begin, later: Later, state: State) -> None:
    tell = await begin()
    await tell.claim()
    if state is State.UNKNOWN:
        await tell.answer(TIMEOUT)
    await tell.end_its_time()
    await tell.expire()
    later(3600)
    await tell.expire()
    assert (await tell.status(), await tell.state()) == ("processing", state)


async def test_an_authorization_does_not_expire(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(Authorized())
    await tell.end_its_time()
    await tell.expire()
    assert (await tell.status(), await tell.state()) == ("authorized", State.AUTHORIZED)


# --- Cancel -----------------------------------------------------------------------------------------------------------


async def test_only_what_cannot_have_been_sent_is_canceled(begin: Begin) -> None:
    tell = await begin()
    await tell.cancel()
    assert await tell.story.events() == ["created", "canceled"]
    root = await tell.claim()
    assert root is not None
    assert root.stale == ["operation not_sent: claimed"]


@pytest.mark.parametrize("state", [state for state in State if state is not State.PREPARED])
async def test_what_may_have_been_sent_is_not_canceled(begin: Begin, state: State) -> None:
    tell = await begin()
    await tell.story.force(Status.PROCESSING, state)
    root = await tell.cancel()
    assert root is not None
    assert root.stale == ["cancel of what may have been sent"]
    assert (await tell.status(), await tell.state()) == ("processing", state)


async def test_what_was_proven_not_sent_can_be_canceled(begin: Begin) -> None:
    """Between two sends: the first had no effect, the second has not begun."""
    tell = await begin()
    await tell.story.force(Status.PROCESSING, State.PREPARED, sends=1, fence=1)
    await tell.cancel()
    assert await tell.status() == "canceled"
