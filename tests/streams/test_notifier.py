"""Deliveries: signed, tried again on schedule, ended by the rules, and never in each other's way."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway import ids
from gateway.settings import Settings
from gateway.store import webhook_endpoints
from gateway.store.database import Pool
from gateway.store.webhook_endpoints import StoredEndpoint
from gateway.webhook_signing import new_keys
from tests.providers.peers import certificate
from tests.streams.support import until
from tests.streams.webhooks import Outbox, verified
from tests.support.receiver import drips, floods, hangs, receiver, resets, says, status

pytestmark = pytest.mark.anyio


@pytest.fixture
def outbox(pool: Pool, settings: Settings) -> Outbox:
    return Outbox(pool, settings)


def settled(outbox: Outbox, wanted: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
    """Whether so many deliveries have this status."""

    async def holds() -> bool:
        return [row["status"] for row in await outbox.deliveries()].count(wanted) >= count

    return holds


def attempted(outbox: Outbox, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len(await outbox.attempts()) >= count

    return holds


# --- What is sent ----------------------------------------------------------------------------------------------------


async def test_an_event_arrives_signed_and_as_it_is(outbox: Outbox) -> None:
    async with receiver() as shop:
        endpoint = await outbox.endpoint(shop.url)
        event_id = await outbox.event()
        await outbox.relay()
        async with outbox.notifying():
            await until(settled(outbox, "delivered"))
    [got] = shop.got
    body = await outbox.pool.fetchval("select body from events")
    assert (got.path, got.body, got.headers["content-type"]) == ("/hooks?shop=7", body, "application/json")
    assert got.headers["webhook-id"] == ids.show(ids.EVENT, event_id)
    assert abs(int(got.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert verified(outbox.keys(endpoint), got) == msgspec.json.decode(body)
    [row], [attempt] = await outbox.deliveries(), await outbox.attempts()
    assert (row["attempt"], row["next_attempt_at"]) == (1, None)
    assert row["id"].int >> 80 == event_id.int >> 80
    assert (attempt["response_status"], attempt["response_excerpt"], attempt["error"]) == (200, "ok", None)


async def test_both_secrets_sign_during_the_overlap_and_one_after_it(outbox: Outbox) -> None:
    old, new = new_keys(asymmetric=True), new_keys(asymmetric=True)
    async with receiver() as shop:
        endpoint = await outbox.endpoint(shop.url, keys=old)
        rotated = msgspec.structs.replace(
            endpoint,
            secret_version=2,
            sealed=outbox.sealed(new, endpoint.id, 2),
            previous_sealed=endpoint.sealed,
            previous_expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        async with outbox.notifying():
            for number, version in enumerate((endpoint, rotated, ends(rotated)), 1):
                async with outbox.pool.acquire() as connection:
                    await webhook_endpoints.update(connection, version)
                await outbox.event()
                await outbox.relay()
                await until(settled(outbox, "delivered", number))
    before, during, after = shop.got
    assert [len(each.headers["webhook-signature"].split()) for each in shop.got] == [2, 4, 2]
    for keys, good, bad in ((old, (before, during), after), (new, (during, after), before)):
        for each in good:
            verified(keys, each)
            verify_asymmetric(keys.public_key or "", each)
        with pytest.raises(Exception, match="No matching signature"):
            verified(keys, bad)


def ends(endpoint: StoredEndpoint) -> StoredEndpoint:
    return msgspec.structs.replace(endpoint, previous_expires_at=datetime.now(UTC) - timedelta(seconds=1))


def verify_asymmetric(public_key: str, got: object) -> None:
    """What a receiver with the public key does; raises InvalidSignature."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    headers, body = got.headers, got.body  # type: ignore[attr-defined]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signatures = [part.split(",")[1] for part in headers["webhook-signature"].split() if part.startswith("v1a,")]
    assert any(_good(key, base64.b64decode(each), signed) for each in signatures)


def _good(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except Exception:  # noqa: BLE001 - any refusal is one
        return False
    return True


async def test_an_endpoint_gets_what_it_asks_for_and_nothing_of_others(outbox: Outbox, settings: Settings) -> None:
    url = "http://127.0.0.1:9/"
    asked = {
        "all": await outbox.endpoint(url),
        "family": await outbox.endpoint(url, "payment.*"),
        "type": await outbox.endpoint(url, "refund.created", "payment.failed"),
        "live": await outbox.endpoint(url, livemode=True),
        "disabled": await outbox.endpoint(url, status="disabled"),
    }
    stranger = await Outbox(outbox.pool, settings).endpoint(url)
    for kind in ("payment.failed", "payment.created", "refund.created", "payments.created", "ping"):
        await outbox.event(kind)
    await outbox.relay()
    await outbox.relay()
    kinds = {
        name: [
            row["type"]
            for row in await outbox.pool.fetch(
                "select e.type from webhook_deliveries d join events e on e.id = d.event_id where d.endpoint_id = $1 "
                "order by e.seq",
                endpoint.id,
            )
        ]
        for name, endpoint in (*asked.items(), ("stranger", stranger))
    }
    assert kinds == {
        "all": ["payment.failed", "payment.created", "refund.created", "payments.created"],
        "family": ["payment.failed", "payment.created"],
        "type": ["payment.failed", "refund.created"],
        "live": [],
        "disabled": [],
        "stranger": [],
    }


# --- What comes back -------------------------------------------------------------------------------------------------

FAILING = {
    "drips a head for ever": (drips(b"HTTP/1.1 200 OK\r\nx-more: 1\r\n"), None, "No answer within"),
    "hangs": (hangs, None, "No answer within"),
    "resets": (resets, None, "broke|closed"),
    "no http": (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), None, "not HTTP"),
    "endless head": (floods(b"HTTP/1.1 200 OK\r\nx: "), None, "not HTTP"),
    "moved": (status("301 Moved Permanently", location="http://127.0.0.1:1/"), 301, None),
    "redirects": (status("307 Temporary Redirect", location="http://169.254.169.254/"), 307, None),
    "informs": (says(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"), 503, None),
    "switches": (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), None, "not HTTP"),
    "not found": (status("404 Not Found", body=b"<html>nothing here \x00 4111 1111 1111 1111"), 404, None),
    "broken": (status("500 Internal Server Error", body=b"x" * 5000), 500, None),
}
TAKING = {
    "no content": status("204 No Content"),
    "a gigabyte": floods(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"),
    "drips a body": drips(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nxxxx", 0.001),
    "never closes": says(b"HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n", ends=False),
    "cut short": says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour"),
}


async def test_only_a_status_of_2xx_is_success_and_nothing_else_stops_us(outbox: Outbox) -> None:
    async with AsyncExitStack() as stack:
        names: dict[object, str] = {}
        for name, behave in {**{name: row[0] for name, row in FAILING.items()}, **TAKING}.items():
            shop = await stack.enter_async_context(receiver(behave))
            names[(await outbox.endpoint(shop.url)).id] = name
        await outbox.event()
        await outbox.relay()
        async with outbox.notifying(pace=0.1):
            await until(attempted(outbox, len(names)))
            await until(settled(outbox, "delivered", len(TAKING)))
    first = {names[row["endpoint_id"]]: row for row in await outbox.attempts() if row["attempt"] == 1}
    for name, (_, expected, words) in FAILING.items():
        assert first[name]["response_status"] == expected, name
        assert (first[name]["error"] is None) == (words is None), name
        assert words is None or any(word in first[name]["error"] for word in words.split("|")), name
    states = {names[row["endpoint_id"]]: row["status"] for row in await outbox.deliveries()}
    assert states == {**dict.fromkeys(FAILING, "pending"), **dict.fromkeys(TAKING, "delivered")}
    assert first["not found"]["response_excerpt"] == "<html>nothing here  ***1111"
    assert len(first["broken"]["response_excerpt"]) == 1024


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
async def test_certificates_are_checked(outbox: Outbox, tmp_path: Path) -> None:
    """An expired one, one that nobody signed, and a server that speaks TLS 1.0 only get nothing."""
    trusted, good = certificate()
    expired_pem, expired = certificate(days=-1)
    _, stranger = certificate()
    old = context(tmp_path, good)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    servers = {
        "good": context(tmp_path, good),
        "expired": context(tmp_path, expired),
        "stranger": context(tmp_path, stranger),
        "old": old,
    }
    async with AsyncExitStack() as stack:
        names = {}
        for name, tls in servers.items():
            shop = await stack.enter_async_context(receiver(tls=tls))
            names[(await outbox.endpoint(shop.url)).id] = name
        await outbox.event()
        await outbox.relay()
        async with outbox.notifying(senders={"ca_bundle": trusted + expired_pem}):
            await until(attempted(outbox, len(servers)))
    first = {names[row["endpoint_id"]]: row for row in await outbox.attempts() if row["attempt"] == 1}
    assert {name: row["response_status"] for name, row in first.items()} == {
        "good": 200,
        "expired": None,
        "stranger": None,
        "old": None,
    }


def context(place: Path, pem: bytes) -> ssl.SSLContext:
    file = place / "server.pem"
    file.write_bytes(pem)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


# --- Again, and the end ----------------------------------------------------------------------------------------------


async def test_a_failed_delivery_comes_again_with_the_same_id_and_bytes(outbox: Outbox) -> None:
    async with receiver(status("503 Service Unavailable")) as shop:
        endpoint = await outbox.endpoint(shop.url)
        await outbox.event()
        await outbox.relay()
        async with outbox.notifying(pace=0.02):
            await until(lambda: len(shop.got) == 2)
            shop.behave = None
            await until(settled(outbox, "delivered"))
    assert len(shop.got) == 3
    assert len({(each.headers["webhook-id"], each.body) for each in shop.got}) == 1
    for each in shop.got:
        verified(outbox.keys(endpoint), each)
    assert [row["response_status"] for row in await outbox.attempts()] == [503, 503, 200]


async def test_retry_after_is_waited_for(outbox: Outbox) -> None:
    async with receiver(status("429 Too Many Requests", retry_after="3000")) as shop:
        await outbox.endpoint(shop.url)
        await outbox.event()
        await outbox.relay()
        async with outbox.notifying():
            await until(attempted(outbox, 1))
    [row] = await outbox.deliveries()
    assert 2900 < (row["next_attempt_at"] - datetime.now(UTC)).total_seconds() <= 3000


async def test_410_ends_the_endpoint_and_says_so(outbox: Outbox) -> None:
    async with receiver(status("410 Gone")) as gone, receiver() as shop:
        ending = await outbox.endpoint(gone.url, "payment.*")
        listening = await outbox.endpoint(shop.url, "webhook_endpoint.*")
        for _ in range(30):
            await outbox.event()
        await outbox.relay()
        async with outbox.notifying():
            await until(lambda: disabled(outbox, ending))
            await outbox.relay()
            await until(lambda: len(shop.got) == 1)
            await until(settled(outbox, "canceled", 30 - len(gone.got)))
    told = verified(outbox.keys(listening), shop.got[0])
    assert (told["type"], told["sequence"]) == ("webhook_endpoint.disabled", 1)
    about = told["data"]["object"]
    assert (about["status"], about["disabled_reason"]) == ("disabled", "It answered 410 Gone.")
    assert {row["status"] for row in await outbox.deliveries(ending)} == {"failed", "canceled"}
    await outbox.event()
    await outbox.relay()
    assert len(await outbox.deliveries(ending)) == 30


async def disabled(outbox: Outbox, endpoint: StoredEndpoint) -> bool:
    return (await outbox.stored(endpoint)).status == "disabled"


@pytest.mark.parametrize("something_newer_arrived", [False, True])
async def test_after_the_last_attempt(outbox: Outbox, something_newer_arrived: bool) -> None:
    async with receiver(status("500 Internal Server Error")) as shop:
        endpoint = await outbox.endpoint(shop.url)
        oldest = await outbox.event()
        newer = await outbox.event()
        await outbox.relay()
        last = "update webhook_deliveries set attempt = 12, schedule_from = 3 where event_id = $1"
        await outbox.pool.execute(last, oldest)
        arrived = "update webhook_deliveries set status = 'delivered', next_attempt_at = null where event_id = $1"
        if something_newer_arrived:
            await outbox.pool.execute(arrived, newer)
        async with outbox.notifying(pace=0.02):
            await until(settled(outbox, "failed"))
            if not something_newer_arrived:
                await until(lambda: disabled(outbox, endpoint))
    after = await outbox.stored(endpoint)
    assert (after.status, after.disabled_reason) == (
        ("enabled", None)
        if something_newer_arrived
        else ("disabled", "A delivery failed at its last attempt, and nothing newer was delivered.")
    )
    rows = {row["event_id"]: row["status"] for row in await outbox.deliveries()}
    assert rows == {oldest: "failed", newer: "delivered" if something_newer_arrived else "canceled"}


async def test_an_endpoint_that_hangs_delays_nobody(outbox: Outbox) -> None:
    async with receiver(hangs) as dead, receiver() as shop:
        hanging = await outbox.endpoint(dead.url, "payment.failed")
        await outbox.endpoint(shop.url, "payment.succeeded")
        for number in range(300):
            await outbox.event("payment.failed" if number < 200 else "payment.succeeded")
        await outbox.relay()
        async with outbox.notifying(pace=1.0):
            await until(settled(outbox, "delivered", 100))
            waiting = [row["attempt"] for row in await outbox.deliveries(hanging)]
    assert waiting.count(0) >= 200 - 16
    assert len(dead.got) <= 16
    assert len(shop.got) == 100
    assert shop.connections <= 16


async def test_a_delivery_whose_notifier_died_is_sent_again(outbox: Outbox) -> None:
    """The row says that an attempt began; nobody has recorded how it ended."""
    async with receiver() as shop:
        await outbox.endpoint(shop.url)
        event_id = await outbox.event()
        await outbox.relay()
        died = "update webhook_deliveries set attempt = 1, next_attempt_at = now() + interval '1 second'"
        await outbox.pool.execute(died)
        async with outbox.notifying():
            await until(settled(outbox, "delivered"))
    assert [each.headers["webhook-id"] for each in shop.got] == [ids.show(ids.EVENT, event_id)]
    assert [row["attempt"] for row in await outbox.attempts()] == [2]


async def test_two_notifiers_send_each_once(outbox: Outbox) -> None:
    async with receiver() as shop:
        await outbox.endpoint(shop.url)
        for _ in range(200):
            await outbox.event()
        await outbox.relay()
        async with outbox.notifying(pace=1.0), outbox.notifying(pace=1.0):
            await until(settled(outbox, "delivered", 200))
    assert len(shop.got) == len({each.headers["webhook-id"] for each in shop.got}) == 200


async def test_a_late_failure_undoes_nothing(outbox: Outbox) -> None:
    """The attempt hangs past its lease, another one is received, and then the first one's failure is recorded."""
    release = asyncio.Event()

    async def first_hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(shop.got) == 1:
            await release.wait()
            await status("500 Internal Server Error")(reader, writer)
        else:
            await status("200 OK")(reader, writer)

    async with receiver(first_hangs) as shop:
        await outbox.endpoint(shop.url)
        await outbox.event()
        await outbox.relay()
        async with outbox.notifying(pace=1.0):
            await until(lambda: len(shop.got) == 1)
            await outbox.pool.execute("update webhook_deliveries set next_attempt_at = now()")
            await until(settled(outbox, "delivered"))
            release.set()
            await until(attempted(outbox, 2))
    [row] = await outbox.deliveries()
    assert (row["status"], row["attempt"], row["next_attempt_at"]) == ("delivered", 2, None)


async def test_what_waits_for_an_endpoint_that_is_gone_is_canceled(outbox: Outbox) -> None:
    endpoint = await outbox.endpoint("http://127.0.0.1:9/")
    await outbox.event()
    await outbox.relay()
    await outbox.pool.execute("delete from webhook_endpoints where id = $1", endpoint.id)
    async with outbox.notifying():
        await until(settled(outbox, "canceled"))


async def test_a_live_endpoint_is_only_reached_on_the_public_internet(outbox: Outbox) -> None:
    async with receiver() as shop:
        await outbox.endpoint(shop.url, livemode=True)
        await outbox.event(livemode=True)
        await outbox.relay()
        async with outbox.notifying():
            await until(attempted(outbox, 1))
    [attempt] = await outbox.attempts()
    assert attempt["error"] == "The address is not on the public internet."
    assert shop.connections == 0
