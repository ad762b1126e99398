"""Stored callbacks of the sandbox (signed) and of C-Pay (unsigned): what each may do, and what none may."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway.clock import Clock
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store.database import Pool
from gateway.store.vault import Vault
from gateway.usecases import handle_callback
from gateway.usecases.handle_callback import PARKED_AGAIN, PARKED_FOR, CallbackHandler
from gateway.usecases.record_outcome import Recorder
from providers.contract import CallbackRequest, Notice, Pending, Succeeded, Unknown
from providers.registry import PROVIDERS
from streams.sweeper import Sweeper
from tests.engine.calling_back import (
    OTHER_SANDBOX,
    SANDBOX,
    Accounts,
    arrive,
    charge_said,
    cpay_said,
    create_accounts,
    signed,
    take_its_name,
)
from tests.engine.conftest import Announced, Begin, Later
from tests.engine.teller import Teller


@pytest.fixture(scope="module")
async def accounts(settings: Settings) -> Accounts:
    return await create_accounts(settings)


@pytest.fixture
def handler(pool: Pool, settings: Settings, recorder: Recorder, clock: Clock) -> CallbackHandler:
    vault = Vault(pool, Sealer(settings.key("seal")), settings)
    return CallbackHandler(pool=pool, vault=vault, recorder=recorder, clock=clock)


@pytest.fixture
async def sandbox(begin: Begin, accounts: Accounts) -> Teller:
    """A charge that the sandbox is at work on."""
    tell = await begin(merchant=accounts.sandbox.merchant_id, account=accounts.sandbox.id)
    await take_its_name(tell, "sandbox")
    await tell.performed(Pending())
    return tell


@pytest.fixture
async def cpay(begin: Begin, accounts: Accounts) -> Teller:
    """A charge that C-Pay may be at work on."""
    tell = await begin(merchant=accounts.cpay.merchant_id, account=accounts.cpay.id, provider="cpay")
    await take_its_name(tell, "cpay")
    await tell.performed(Unknown(detail="timeout"))
    return tell


async def reference_of(tell: Teller) -> str:
    return str((await tell.story.operation())["reference"])


async def stored(pool: Pool, callback_id: UUID) -> asyncpg.Record:
    row = await pool.fetchrow("select * from callbacks where id = $1", callback_id)
    assert row is not None
    return row


async def handled(pool: Pool, handler: CallbackHandler, callback_id: UUID) -> str:
    """Handle it; the result, which is also the one that is stored."""
    result = await handler.handle(callback_id)
    row = await stored(pool, callback_id)
    assert (row["state"], row["result"]) == ("processed", result)
    assert row["next_publish_at"] is None
    return result


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
    unreadable = [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"id":"evt_1","charge":{"id":1}}']
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


# --- Known only by the provider's name --------------------------------------------------------------------------------


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox, were it to call back under its own name for the charge alone."""
    spec = PROVIDERS["sandbox"]
    assert spec.callback is not None
    parse = spec.callback.parse

    def without_our_name(request: CallbackRequest) -> list[Notice]:
        return [msgspec.structs.replace(notice, reference=None) for notice in parse(request)]

    callback = msgspec.structs.replace(spec.callback, parse=without_our_name)
    changed: dict[str, Any] = {**PROVIDERS, "sandbox": msgspec.structs.replace(spec, callback=callback)}
    monkeypatch.setattr(handle_callback, "PROVIDERS", changed)


@pytest.fixture
def sweeper(settings: Settings, pool: Pool, clock: Clock, recorder: Recorder, announced: Announced) -> Sweeper:
    return Sweeper(settings=settings, pool=pool, clock=clock, recorder=recorder, announcements=announced)  # type: ignore[arg-type]


async def parked_callback(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, tell: Teller, copies: int = 1
) -> list[UUID]:
    """It came before the answer that tells us the charge's name there."""
    reference = await reference_of(tell)
    body = charge_said(reference, "succeeded", event=f"evt_{reference}")
    parked = [await arrive(pool, accounts.sandbox, body, signed(body)) for _ in range(copies)]
    for each in parked:
        assert await handler.handle(each) == "parked"
    return parked


async def test_a_known_name_is_enough(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, nameless: None
) -> None:
    reference = await reference_of(sandbox)
    await sandbox.proof(Pending(provider_reference=f"ch_{reference}"))
    body = charge_said(reference, "succeeded")
    callback = await arrive(pool, accounts.sandbox, body, signed(body))
    assert await handled(pool, handler, callback) == "applied"
    assert await sandbox.status() == "succeeded"


async def test_an_unknown_name_waits_and_is_woken_when_it_is_learned(
    pool: Pool,
    handler: CallbackHandler,
    accounts: Accounts,
    sandbox: Teller,
    nameless: None,
    sweeper: Sweeper,
    announced: Announced,
) -> None:
    first, second = await parked_callback(pool, handler, accounts, sandbox, copies=2)
    row = await stored(pool, first)
    assert row["state"] == "parked"
    assert abs((row["next_publish_at"] - Clock().now()) - PARKED_AGAIN) < timedelta(seconds=5)
    await sweeper._publish_callbacks()
    assert first not in announced.callbacks, "it has an appointment of its own"
    await sandbox.proof(Pending(provider_reference=row["parked_reference"]))  # the answer that brings the name
    await sweeper._publish_callbacks()
    assert {first, second} <= set(announced.callbacks)
    assert await handled(pool, handler, first) == "applied"
    assert await handled(pool, handler, second) == "duplicate"
    assert await sandbox.story.events() == ["created", "processing", "succeeded"]


async def test_it_is_looked_at_again_anyway(
    pool: Pool,
    handler: CallbackHandler,
    accounts: Accounts,
    sandbox: Teller,
    nameless: None,
    sweeper: Sweeper,
    announced: Announced,
) -> None:
    (parked,) = await parked_callback(pool, handler, accounts, sandbox)
    await pool.execute("update callbacks set next_publish_at = now() where id = $1", parked)
    await sweeper._publish_callbacks()
    assert parked in announced.callbacks
    assert await handler.handle(parked) == "parked"
    assert (await stored(pool, parked))["next_publish_at"] > Clock().now() + PARKED_AGAIN / 2


async def test_nobody_waits_for_a_name_for_ever(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, nameless: None, later: Later
) -> None:
    (parked,) = await parked_callback(pool, handler, accounts, sandbox)
    later(PARKED_FOR.total_seconds() - 60)
    assert await handler.handle(parked) == "parked"
    later(120)
    assert await handled(pool, handler, parked) == "unmatched"
    assert await sandbox.status() == "processing"


async def test_a_name_at_another_account_is_another_name(
    pool: Pool, handler: CallbackHandler, accounts: Accounts, sandbox: Teller, nameless: None
) -> None:
    (parked,) = await parked_callback(pool, handler, accounts, sandbox)
    name = (await stored(pool, parked))["parked_reference"]
    await sandbox.proof(Pending(provider_reference=name))
    body = charge_said(await reference_of(sandbox), "succeeded")
    foreign = await arrive(pool, accounts.other_sandbox, body, signed(body, OTHER_SANDBOX))
    assert await handler.handle(foreign) == "parked"
    assert await sandbox.status() == "processing"
