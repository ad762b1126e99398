"""Callbacks that know a charge by the provider's name alone, and come before we have learned it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from gateway.clock import Clock
from gateway.settings import Settings
from gateway.store.database import Pool
from gateway.usecases import handle_callback
from gateway.usecases.handle_callback import PARKED_AGAIN, PARKED_FOR, CallbackHandler
from gateway.usecases.record_outcome import Recorder
from providers.contract import CallbackRequest, Notice, Pending
from providers.registry import PROVIDERS
from streams.sweeper import Sweeper
from tests.engine.calling_back import (
    OTHER_SANDBOX,
    Accounts,
    arrive,
    charge_said,
    handled,
    reference_of,
    signed,
    stored,
)
from tests.engine.conftest import Announced, Later
from tests.engine.teller import Teller


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
