"""Unsigned callbacks that are more than noise: claims that go with a question, and the late answers to our requests."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from gateway.store.database import Pool
from gateway.usecases.handle_callback import PARKED_AGAIN, CallbackHandler
from providers.contract import Deferred, Pending, Succeeded, Unknown
from providers.daraja import cases
from tests.engine.calling_back import Accounts, arrive, handled, stored, take_its_name
from tests.engine.conftest import Begin, Later
from tests.engine.teller import Teller

CHECKOUT, RECEIPT = cases.CHECKOUT, cases.RECEIPT
PAID = cases.push_callback(0, cases.METADATA)
CONVERSATION = "1-2-3/AG_20260401_0123456789abcdef0123"


@pytest.fixture
async def push(begin: Begin, accounts: Accounts) -> Teller:
    """A push that Daraja has accepted, under a CheckoutRequestID of its own."""
    tell = await begin(merchant=accounts.daraja.merchant_id, account=accounts.daraja.id, provider="daraja")
    await take_its_name(tell, "daraja")
    await tell.story.force(currency="KES")
    await tell.performed(Pending(provider_reference=name(tell, CHECKOUT)))
    return tell


def name(tell: Teller, known: str) -> str:
    """A name of Daraja's that no other payment of this database has."""
    own = tell.operation_id.hex[-20:].upper()
    return own if known == RECEIPT else known + own


def own(tell: Teller, body: bytes) -> bytes:
    """A callback about this push alone."""
    for known in (CHECKOUT, RECEIPT):
        body = body.replace(known.encode(), name(tell, known).encode())
    return body


def stated(tell: Teller, **other: Any) -> Succeeded:
    """What Daraja states of this push when it is paid."""
    known = {"provider_reference": name(tell, RECEIPT), "amount": 15000, "currency": "KES"}
    return Succeeded(**{**known, **other})


async def call_back(
    pool: Pool, accounts: Accounts, tell: Teller, body: bytes, query: str = "", to: UUID | None = None
) -> UUID:
    """A callback to the address of the push, or of another operation."""
    return await arrive(pool, accounts.daraja, body, operation_id=to or tell.operation_id, query=query)


async def reference(tell: Teller) -> str | None:
    """The payment's name at the provider, as the merchant sees it."""
    found: str | None = (await tell.story.payment())["provider_reference"]
    return found


# --- Claims -----------------------------------------------------------------------------------------------------------


async def test_a_claim_goes_with_the_question(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts
) -> None:
    """The callback settles nothing; the query that it provokes knows what was said, and under which name."""
    callback = await call_back(pool, accounts, push, own(push, PAID))
    assert await handled(pool, handler, callback) == "asked"
    assert await push.status() == "processing"
    query = await push.story.operation("query")
    said = msgspec.json.decode(query["evidence"])
    assert (said["source"], said["outcome"]["provider_reference"]) == ("callback", name(push, RECEIPT))
    assert query["provider_reference"] == name(push, CHECKOUT)


async def test_a_receipt_takes_the_place_of_the_requests_name(push: Teller) -> None:
    assert await reference(push) == name(push, CHECKOUT)
    await push.queried(stated(push))
    assert (await push.status(), await reference(push)) == ("succeeded", name(push, RECEIPT))
    assert await push.story.review() is None


async def test_a_receipt_that_is_learned_later_is_no_second_payment(push: Teller, later: Later) -> None:
    """The query told none; the callback came after it."""
    await push.queried(Succeeded())
    assert (await push.status(), await reference(push)) == ("succeeded", name(push, CHECKOUT))
    later(2)
    await push.queried(stated(push))
    await push.proof(stated(push))
    assert (await push.story.review(), await reference(push)) == (None, name(push, RECEIPT))


async def test_two_receipts_are_two_payments(push: Teller) -> None:
    """The second one is given back, under its own receipt number."""
    other = "Z" + name(push, RECEIPT)[1:]
    await push.queried(stated(push))
    await push.proof(stated(push, provider_reference=other))
    refund = await push.story.operation("refund")
    second = await push.story.pool.fetchrow("select * from operations where id = $1", refund["target_id"])
    assert second is not None
    assert (refund["state"], second["provider_reference"], second["state"]) == ("prepared", other, "late_succeeded")
    assert await reference(push) == name(push, RECEIPT)


async def test_a_claim_waits_while_another_question_is_under_way(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts, later: Later
) -> None:
    """Its receipt number would be lost: it is parked, and asked about afterwards."""
    await push.ask()
    query = await push.live_query()
    callback = await call_back(pool, accounts, push, own(push, PAID))
    assert await handler.handle(callback) == "parked"
    await push.claim("worker/query", operation_id=query)
    await push.answer(Succeeded(), operation_id=query)
    later(PARKED_AGAIN.total_seconds())
    assert await handled(pool, handler, callback) == "asked"
    assert (await push.story.operation("query"))["evidence"] is not None


async def test_a_claim_that_tells_nothing_new_does_not_wait(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts
) -> None:
    await push.queried(stated(push))
    callback = await call_back(pool, accounts, push, own(push, PAID))
    assert await handled(pool, handler, callback) == "asked"


# --- Late answers -----------------------------------------------------------------------------------------------------


def status_result(tell: Teller, conversation: str = CONVERSATION) -> bytes:
    """The answer to a question about a transaction, in this conversation."""
    originator, _, own_part = conversation.partition("/")
    body = cases.result(0, cases.parameters(**cases.STATUS_ROWS), originator)
    return own(tell, body.replace(cases.CONVERSATION.encode(), own_part.encode()))


async def deferred(tell: Teller) -> UUID:
    """The provider is asked, and will answer later."""
    return await tell.queried(Deferred(provider_reference=unique(tell)))


def unique(tell: Teller) -> str:
    return CONVERSATION + tell.operation_id.hex


async def test_a_deferred_answer_changes_nothing_yet(push: Teller) -> None:
    await deferred(push)
    assert (await push.state(), await push.status(), await reference(push)) == (
        "pending",
        "processing",
        name(push, CHECKOUT),
    )
    assert (await push.story.operation())["next_query_at"] is not None, "and it is asked again, should none come"


async def test_the_late_answer_is_proof_once(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts
) -> None:
    query = await deferred(push)
    body = status_result(push, unique(push))
    callback = await call_back(pool, accounts, push, body, "status", query)
    assert await handled(pool, handler, callback) == "applied"
    assert (await push.status(), await reference(push)) == ("succeeded", name(push, RECEIPT))
    again = await call_back(pool, accounts, push, body + b" ", "status", query)
    assert await handled(pool, handler, again) == "asked", "the name is used up"


@pytest.mark.parametrize("query", ["status", "payout", "reversal", ""])
async def test_an_answer_of_another_name_is_no_proof(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts, query: str
) -> None:
    """Whoever knows the address does not know the name; nor is an answer to the query one to the push."""
    asked = await deferred(push)
    for to, conversation in ((asked, "1-2-3/AG_guessed"), (push.operation_id, unique(push))):
        callback = await call_back(pool, accounts, push, status_result(push, conversation), query, to)
        assert await handler.handle(callback) in ("asked", "parked")
    assert (await push.status(), await push.state()) == ("processing", "pending")


async def test_an_answer_that_is_faster_than_its_announcement_waits(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts
) -> None:
    """It is parked while the query is under way, and due as soon as the name is known."""
    await push.ask()
    query = await push.live_query()
    assert query is not None
    await push.claim("worker/query", operation_id=query)
    callback = await call_back(pool, accounts, push, status_result(push, unique(push)), "status", query)
    assert await handler.handle(callback) == "parked"
    due = (await stored(pool, callback))["next_publish_at"]
    await push.answer(Deferred(provider_reference=unique(push)), operation_id=query)
    assert (await stored(pool, callback))["next_publish_at"] < due
    assert await handled(pool, handler, callback) == "applied"
    assert await push.status() == "succeeded"


async def test_an_answer_that_knows_nothing_keeps_the_question_open(
    push: Teller, pool: Pool, handler: CallbackHandler, accounts: Accounts
) -> None:
    query = await deferred(push)
    originator, _, own_part = unique(push).partition("/")
    body = cases.result(2001, None, originator).replace(cases.CONVERSATION.encode(), own_part.encode())
    callback = await call_back(pool, accounts, push, body, "status", query)
    assert await handled(pool, handler, callback) == "applied"
    assert (await push.status(), await push.state(), await push.queries()) == ("processing", "pending", 1)


async def test_only_a_query_is_deferred(begin: Begin, accounts: Accounts) -> None:
    """From another verb it would say nothing about what happened."""
    tell = await begin(merchant=accounts.daraja.merchant_id, account=accounts.daraja.id, provider="daraja")
    await tell.performed(Deferred(provider_reference="1-2-3/AG_other"))
    assert await tell.state() == "unknown"
    await tell.answer(Unknown(detail="later"))
    assert await tell.status() == "processing"
