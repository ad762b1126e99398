"""A new SECRET_KEY: both open secrets while one takes the place of the other; then the old one is not needed."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gateway import ids, return_pages, webhook_signing
from gateway.clock import Clock
from gateway.sealing import SealBroken, Sealer, place
from gateway.settings import Settings
from gateway.startup import StartupError, check
from gateway.store import audit, engine, sealed, webhook_endpoints
from gateway.store.accounts import Configuration
from gateway.store.audit import AuditRow
from gateway.store.database import Pool, create_pool
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.usecases import audit_trail, rotate_keys
from providers.contract import Secret
from providers.sandbox.spec import SandboxAccount
from tests.support.payments import Story

pytestmark = pytest.mark.anyio

OTP = b"123456"


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=4) as pool:
        yield pool


@pytest.fixture
def during(settings: Settings) -> Settings:
    """Both keys: the new one, and the one before."""
    return replace(settings, secret_key=Secret("n" * 43), secret_key_previous=settings.secret_key)


@pytest.fixture
def after(during: Settings) -> Settings:
    """The new key alone."""
    return replace(during, secret_key_previous=None)


async def accounts(settings: Settings, count: int) -> list[uuid.UUID]:
    """Accounts whose API keys are their numbers, sealed under the current key."""
    own = engine.create(settings.database_uri)
    try:
        configuration = Configuration(own, Sealer(*settings.keys("seal")))
        merchant = await configuration.create_merchant("Shop")
        made = [
            await configuration.create_account(merchant.id, "sandbox", False, SandboxAccount(api_key=Secret(str(n))))
            for n in range(count)
        ]
        return [each.id for each in made]
    finally:
        await own.dispose()


async def api_keys(settings: Settings, account_ids: list[uuid.UUID]) -> list[str]:
    """What is sealed, opened with the keys of these settings."""
    own = engine.create(settings.database_uri)
    try:
        configuration = Configuration(own, Sealer(*settings.keys("seal")))
        return [getattr(await configuration.account_settings(each, 1), "api_key") for each in account_ids]  # noqa: B009
    finally:
        await own.dispose()


async def otp_of(story: Story, settings: Settings) -> bytes:
    """The one-time password of its operation."""
    row = await story.operation()
    where = place("operations", "secret_input", row["id"], 1, row["merchant_id"])
    return Sealer(*settings.keys("seal")).open(row["secret_input"], place=where)


async def with_otp(pool: Pool, settings: Settings) -> Story:
    """A payment whose operation holds a sealed one-time password."""
    story = await Story.begin(pool, uuid.uuid4().hex)
    row = await story.operation()
    where = place("operations", "secret_input", row["id"], 1, row["merchant_id"])
    await story.force(secret_input=Sealer(*settings.keys("seal")).seal(OTP, place=where))
    return story


ENDPOINT_KEYS = [webhook_signing.new_keys(asymmetric=each) for each in (True, False)]  # of versions 1 and 2


async def webhook_endpoint(pool: Pool, settings: Settings) -> StoredEndpoint:
    """An endpoint whose secret was rotated a moment ago: both versions sign."""
    sealer, endpoint_id, merchant_id = Sealer(*settings.keys("seal")), ids.new(), uuid.uuid4()
    old, new = (
        webhook_endpoints.seal(sealer, keys, endpoint_id=endpoint_id, version=version, merchant_id=merchant_id)
        for version, keys in enumerate(ENDPOINT_KEYS, 1)
    )
    now = datetime.now(UTC)
    made = StoredEndpoint(
        id=endpoint_id,
        merchant_id=merchant_id,
        livemode=False,
        url="https://shop.example/hook",
        events=["*"],
        description=None,
        status="enabled",
        disabled_reason=None,
        secret_version=2,
        sealed=new,
        previous_sealed=old,
        previous_expires_at=now + timedelta(days=1),
        sequence=0,
        backlog_cursor=None,
        created_at=now,
        updated_at=now,
    )
    async with pool.acquire() as connection:
        await connection.execute("insert into merchants (id, name) values ($1, 'Shop')", merchant_id)
        await webhook_endpoints.insert(connection, made)
    return made


async def signing_keys(pool: Pool, settings: Settings, endpoint: StoredEndpoint) -> list[webhook_signing.SigningKeys]:
    """The keys of its row, of the version before first."""
    row = await pool.fetchrow("select sealed, previous_sealed from webhook_endpoints where id = $1", endpoint.id)
    sealer = Sealer(*settings.keys("seal"))
    return [
        webhook_endpoints.open_keys(
            sealer, sealed, endpoint_id=endpoint.id, version=version, merchant_id=endpoint.merchant_id
        )
        for version, sealed in enumerate((row["previous_sealed"], row["sealed"]), 1)
    ]


async def test_everything_is_under_the_new_key_afterwards(
    settings: Settings, during: Settings, after: Settings, pool: Pool
) -> None:

    made = await accounts(settings, 5)
    story = await with_otp(pool, settings)
    merchant = ids.new()
    async with pool.acquire() as connection:
        await audit.insert(
            connection,
            AuditRow(merchant_id=merchant, actor="a", action="b", object_id="c"),
            datetime.now(UTC),
            livemode=True,
        )
        await audit_trail.seal(settings, connection, datetime.now(UTC))
    endpoint = await webhook_endpoint(pool, settings)
    before = await pool.fetch("select sealed from account_settings order by account_id")

    made += await accounts(during, 1)  # sealed during the change, under the new key
    assert await api_keys(during, made) == ["0", "1", "2", "3", "4", "0"]
    done = await rotate_keys.rotate(during, pool, Clock(), "operator:me")
    assert done == {"account_settings": 5, "operations": 1, "webhook_endpoints": 2, "audit_anchors": 1}

    assert await api_keys(after, made) == ["0", "1", "2", "3", "4", "0"]
    assert await otp_of(story, after) == OTP
    assert await signing_keys(pool, after, endpoint) == ENDPOINT_KEYS
    with pytest.raises(SealBroken, match="another SECRET_KEY"):
        await api_keys(settings, made[:1])
    rewrapped = await pool.fetch("select sealed from account_settings order by account_id limit 5")
    for old, new in zip(before, rewrapped, strict=True):  # what the data key encrypts is the same as before
        assert old["sealed"][69:] == new["sealed"][69:]
        assert old["sealed"][:69] != new["sealed"][:69]
    chain = audit_trail.chain_of(after, merchant, True)
    verdict = await audit_trail.verify(pool.acquire, chain)
    assert (verdict.bad, verdict.checked) == (None, 1)
    rows = await pool.fetch(
        "select actor, action, merchant_id, changes from audit_events where object_id = 'installation'"
    )
    assert [(row["actor"], row["action"], row["merchant_id"]) for row in rows] == [
        ("operator:me", "secret_key.rotate", ids.NIL)
    ] * 5
    assert await rotate_keys.rotate(during, pool, Clock(), "operator:me") == {  # again changes nothing
        "account_settings": 0,
        "operations": 0,
        "webhook_endpoints": 0,
        "audit_anchors": 0,
    }


async def test_it_can_be_broken_off_and_begun_again(
    settings: Settings, during: Settings, after: Settings, pool: Pool
) -> None:
    made = await accounts(settings, sealed.BATCH + 3)
    sealer = Sealer(*during.keys("seal"))
    async with pool.acquire() as connection, connection.transaction():
        assert await sealed.rewrap(connection, sealed.COLUMNS[0], sealer) == sealed.BATCH
    assert len(await api_keys(during, made)) == len(made)  # half of them under each key: both open
    done = await rotate_keys.rotate(during, pool, Clock(), "operator:me")
    assert done["account_settings"] == 3
    assert await api_keys(after, made) == [str(n) for n in range(len(made))]


async def test_a_password_that_is_locked_meanwhile_is_waited_for(
    settings: Settings, during: Settings, after: Settings, pool: Pool
) -> None:
    story = await with_otp(pool, settings)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select from operations where id = $1 for update", story.operation_id)
        rotating = asyncio.create_task(rotate_keys.rotate(during, pool, Clock(), "operator:me"))
        await asyncio.sleep(0.3)
        assert not rotating.done()
        await transaction.rollback()
    assert (await rotating)["operations"] == 1
    assert await otp_of(story, after) == OTP


async def test_a_secret_under_a_third_key_is_named(settings: Settings, during: Settings, pool: Pool) -> None:
    await accounts(replace(settings, secret_key=Secret("t" * 43)), 1)
    with pytest.raises(SealBroken, match="sealed under another SECRET_KEY"):
        await rotate_keys.rotate(during, pool, Clock(), "operator:me")


async def test_nothing_starts_without_a_key_that_is_still_needed(
    settings: Settings, during: Settings, after: Settings, pool: Pool
) -> None:
    await accounts(during, 1)
    await accounts(settings, 1)
    await asyncio.to_thread(check, during)
    for lacking in (settings, after):
        with pytest.raises(StartupError, match="SECRET_KEY is not the one"):
            await asyncio.to_thread(check, lacking)
    await rotate_keys.rotate(during, pool, Clock(), "operator:me")
    await asyncio.to_thread(check, after)


async def test_the_command(settings: Settings, during: Settings, after: Settings) -> None:
    made = await accounts(settings, 2)
    environment = {
        **os.environ,
        "SECRET_KEY": during.secret_key,
        "JWT_SECRET_KEY": during.jwt_secret_key,
        "DATABASE_URI": during.database_uri,
        "MYPAY_ENV": "development",
    }

    async def mypay(*arguments: str, **more: str) -> tuple[int, str, str]:
        argv = [sys.executable, "-m", "gateway.cli", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, argv, env={**environment, **more}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert await mypay("keys", "rotate") == (
        2,
        "",
        "mypay: SECRET_KEY_PREVIOUS is not set: write the key that SECRET_KEY takes the place of.\n",
    )
    status, said, _ = await mypay("keys", "rotate", SECRET_KEY_PREVIOUS=settings.secret_key)
    assert (status, "2 of account_settings" in said) == (0, True)
    assert "0 of webhook_endpoints" in said
    assert await api_keys(after, made) == ["0", "1"]


def test_the_way_back_from_a_providers_page_outlives_the_change(settings: Settings, during: Settings) -> None:
    payment = ids.new()
    old, new = return_pages.token(settings, payment), return_pages.token(during, payment)
    assert old != new
    assert return_pages.read(during, old) == return_pages.read(during, new) == payment
    assert return_pages.read(replace(during, secret_key_previous=None), old) is None


async def test_every_column_of_secrets_is_in_the_list(pool: Pool) -> None:
    """A new bytea column is either no sealed secret, and named here, or one that must be re-wrapped."""
    plain = {
        *("api_keys.key_hash", "idempotency_keys.fingerprint", "idempotency_keys.response", "events.body"),
        *("callbacks.body", "dead_letters.key", "dead_letters.value"),
        *("refresh_tokens.token_hash", "sign_in_attempts.subject"),
        *("audit_events.prev_hash", "audit_events.hash", "audit_anchors.hash", "audit_anchors.signature"),
    }
    rows = await pool.fetch(
        """select c.table_name || '.' || c.column_name as name from information_schema.columns c
            where c.table_schema = 'public' and c.data_type = 'bytea' and c.table_name !~ '_(default|[0-9]{8})$'"""
    )
    listed = {f"{each.table}.{each.column}" for each in sealed.COLUMNS}
    assert {row["name"] for row in rows} == plain | listed
