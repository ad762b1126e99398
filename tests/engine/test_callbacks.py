"""Stored callbacks of the sandbox (signed) and of C-Pay (unsigned): what each may do, and what none may."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from gateway.clock import Clock
from gateway.store.database import Pool
from gateway.usecases.handle_callback import CallbackHandler
from providers.contract import Succeeded
from tests.engine.calling_back import (
    OTHER_SANDBOX,
    SANDBOX,
    Accounts,
    arrive,
    charge_said,
    cpay_said,
    handled,
    reference_of,
    signed,
    stored,
)
from tests.engine.conftest import Announced, Begin
from tests.engine.teller import Teller

# --- Signed -----------------------------------------------------------------------------------------------------------


async def test_a_signed_callback_is_proof(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller
) -> None:
    body = charge_said(await reference_of(sandbox), "succeeded")
    callback = await arrive(pool, accounts.sandbox, body, signed(body), operation_id=sandbox.operation_id)
    assert await handled(pool, handler, callback) == "applied"
    assert await sandbox.story.events() == ["created", "processing", "succeeded"]
    assert await handler.handle(callback) == "gone"


async def test_forged_callbacks_have_no_effect(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, announced: Announced
) -> None:
    body = charge_said(await reference_of(sandbox), "succeeded")
    good = signed(body)
    old = signed(body, at=Clock().now() - timedelta(minutes=6))
    forgeries: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, {**good, "webhook-signature": "v1,AAAA"}),
        (body, {**good, "webhook-id": "another"}),
        (body, signed(body, OTHER_SANDBOX)),
        (body, old),
        (body.replace(b"15000", b"15001"), good),
        (body + b" ", good),
    ]
    before = dict(await sandbox.story.operation())
    for content, headers in forgeries:
        callback = await arrive(pool, accounts.sandbox, content, headers, operation_id=sandbox.operation_id)
        assert await handled(pool, handler, callback) == "forged"
        assert (await stored(pool, callback))["event_key"] is None, "a forgery must not make the real one a duplicate"
    assert dict(await sandbox.story.operation()) == before
    assert announced.operations == []
    callback = await arrive(pool, accounts.sandbox, body, good, operation_id=sandbox.operation_id)
    assert await handled(pool, handler, callback) == "applied"


async def test_the_callback_of_another_account_has_no_effect(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller
) -> None:
    """Who holds one account's address and secret can say nothing about another's operations."""
    before = dict(await sandbox.story.operation())
    for reference in (await reference_of(sandbox), "0" * 24):
        body = charge_said(reference, "succeeded")
        callback = await arrive(
            pool, accounts.other_sandbox, body, signed(body, OTHER_SANDBOX), operation_id=sandbox.operation_id
        )
        assert await handled(pool, handler, callback) == "unmatched"
    assert dict(await sandbox.story.operation()) == before


async def test_the_body_names_the_operation_not_the_path(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, begin: Begin
) -> None:
    other = await begin(merchant=accounts.sandbox.merchant_id, account=accounts.sandbox.id)
    body = charge_said(await reference_of(sandbox), "succeeded")
    callback = await arrive(pool, accounts.sandbox, body, signed(body), operation_id=other.operation_id)
    assert await handled(pool, handler, callback) == "applied"
    assert (await sandbox.status(), await other.status()) == ("succeeded", "pending")


async def test_what_cannot_be_read_or_matched(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller
) -> None:
    unreadable = [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"id":"evt_1","transaction":{"id":1}}']
    unmatched = [charge_said(name, "succeeded") for name in ("0" * 24, "x", "", "ab\x00", "ä" * 24)]
    for result, bodies in (("unreadable", unreadable), ("unmatched", unmatched)):
        for body in bodies:
            callback = await arrive(pool, accounts.sandbox, body, signed(body))
            assert await handled(pool, handler, callback) == result, body[:40]
    assert await sandbox.status() == "processing"


async def test_duplicates_are_counted(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller
) -> None:
    reference = await reference_of(sandbox)
    body = charge_said(reference, "succeeded", event="evt_twice" + reference)
    results = []
    for _ in range(3):
        callback = await arrive(pool, accounts.sandbox, body, signed(body))
        results.append(await handled(pool, handler, callback))
    assert results == ["applied", "duplicate", "duplicate"]
    assert await sandbox.story.events() == ["created", "processing", "succeeded"]


async def test_many_copies_at_once(pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller) -> None:
    body = charge_said(await reference_of(sandbox), "succeeded")
    copies = [await arrive(pool, accounts.sandbox, body, signed(body)) for _ in range(20)]
    results = await asyncio.gather(*(handler.handle(each) for each in copies))
    assert set(results) <= {"applied", "duplicate"}
    assert "applied" in results
    assert await sandbox.story.events() == ["created", "processing", "succeeded"]


async def test_the_providers_words_are_kept_masked_and_short(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller
) -> None:
    words = f"\x00card 4242 4242 4242 4242 {SANDBOX.webhook_secret} " + "x" * 1000
    body = charge_said(await reference_of(sandbox), "declined", decline_code=words)
    callback = await arrive(pool, accounts.sandbox, body, signed(body))
    assert await handled(pool, handler, callback) == "applied"
    failure = msgspec.json.decode((await sandbox.story.payment())["failure"])
    assert failure["provider_code"] == ("card ***4242 *** " + "x" * 1000)[:500]
    events = await pool.fetch("select body from events where object_id = $1", sandbox.payment_id)
    evidence = (await sandbox.story.operation())["evidence"]
    for text in (evidence, *(event["body"] for event in events)):
        assert b"4242 4242" not in text
        assert SANDBOX.webhook_secret.encode() not in text


@pytest.mark.parametrize("name", ["ch_\x00", "x" * 100_000])
async def test_a_name_that_cannot_be_kept_is_no_name(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, name: str
) -> None:
    body = charge_said(await reference_of(sandbox), "succeeded", event=name, id=name)
    callback = await arrive(pool, accounts.sandbox, body, signed(body))
    assert await handled(pool, handler, callback) == "applied"
    row = await sandbox.story.payment()
    assert (row["status"], row["provider_reference"]) == ("succeeded", None)


# --- Unsigned ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["PROCESSED", "DENIED", "WHATEVER"])
async def test_an_unsigned_callback_only_makes_us_ask(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, cpay: Teller, announced: Announced, word: str
) -> None:
    body = cpay_said(await reference_of(cpay), word, transaction=f"CP-{word}")
    callback = await arrive(pool, accounts.cpay, body, operation_id=cpay.operation_id)
    assert await handled(pool, handler, callback) == "asked"
    assert (await cpay.status(), await cpay.queries()) == ("processing", 1)
    assert [(each.verb, each.target_id) for each in announced.operations] == [("query", cpay.operation_id)]
    row = await cpay.story.operation()
    assert (row["state"], row["provider_reference"]) == ("unknown", f"CP-{word}")
    again = await arrive(pool, accounts.cpay, body, operation_id=cpay.operation_id)
    assert await handled(pool, handler, again) == "duplicate"
    assert await cpay.queries() == 1
    await cpay.queried(Succeeded(provider_reference=f"CP-{word}"))
    assert await cpay.status() == "succeeded"


async def test_an_unsigned_callback_names_its_operation_itself(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, cpay: Teller
) -> None:
    for body in (b"", b"{}", cpay_said("", "PROCESSED").replace(b'""', b"null")):
        callback = await arrive(pool, accounts.cpay, body, operation_id=cpay.operation_id)
        assert await handled(pool, handler, callback) == "unreadable"
    callback = await arrive(pool, accounts.cpay, cpay_said("A" * 20, "PROCESSED"), operation_id=cpay.operation_id)
    assert await handled(pool, handler, callback) == "unmatched"
    assert await cpay.queries() == 0
