"""The stream of events: the feed's bytes in the feed's order, from where a client left off, on any process."""

import asyncio
import contextlib
import itertools
import random
import signal
import socket
import time
from collections.abc import Iterator

import asyncpg
import httpx
import msgspec
import pytest

from gateway import ids
from gateway.processes import free_port
from gateway.store.database import Connection, prepare
from gateway.usecases.follow_events import MOST_OF_ONE, WAITING_MAX
from tests.api.tenants import Tenant, code, on_database, pointers
from tests.api.test_events import give_positions, insert, walk
from tests.support.installation import READY_TIMEOUT_S, Handle, Installation
from tests.support.sse import Sent, stream


def fill(tenant: Tenant, count: int, kind: str = "payment.created") -> None:
    """Events with positions."""

    async def run(connection: Connection) -> None:
        for _ in range(count):
            await insert(connection, tenant, kind, ids.new())
        await give_positions(connection)

    on_database(tenant.mypay, run)


def take(events: Iterator[Sent], count: int) -> list[Sent]:
    """The next ones."""
    return list(itertools.islice(events, count))


def test_it_is_the_feed_as_it_comes(mypay: Installation, tenant: Tenant, other: Tenant) -> None:
    tenant.payment()
    on_database(mypay, give_positions)
    with stream(tenant.test) as events, stream(tenant.live) as live:
        other.payment()
        paid = [tenant.payment()["id"] for _ in range(3)]
        mine = tenant.payment(livemode=True)["id"]
        on_database(mypay, give_positions)
        seen = take(events, 3)
        assert [msgspec.json.decode(one.data)["data"]["object"]["id"] for one in seen] == paid
        assert [one.type for one in seen] == ["payment.created"] * 3
        for one in seen:
            assert tenant.test.get(f"/v1/events/{one.id}").text == one.data
        assert mine in next(live).data


def test_it_goes_on_after_the_last_event_seen(mypay: Installation, tenant: Tenant) -> None:
    first = tenant.test.get("/v1/events").json()["next"]
    paid = [tenant.payment()["id"] for _ in range(4)]
    on_database(mypay, give_positions)
    whole = [event["id"] for event in walk(tenant)]
    assert len(whole) == len(paid)
    with stream(tenant.test, f"?after={first}") as events:
        assert [one.id for one in take(events, 4)] == whole
    for place in range(3):
        with stream(tenant.test, f"?after={first}", after=whole[place]) as events:  # the header wins
            assert [one.id for one in take(events, 3 - place)] == whole[place + 1 :]


def test_filters(tenant: Tenant) -> None:
    one, two = ids.new(), ids.new()

    async def make(connection: Connection) -> None:
        for kind, about in (("payment.created", one), ("refund.created", two), ("payment.failed", one), ("ping", two)):
            await insert(connection, tenant, kind, about)
        await give_positions(connection)

    def kinds(query: str, last: str) -> list[str]:
        """What was made before the stream was opened, and what came after: by the database, and by the tail."""
        start = tenant.test.get("/v1/events").json()["next"] if query else ""
        on_database(tenant.mypay, make)
        with stream(tenant.test, f"{query}&after={start}") as events:
            seen = list(itertools.takewhile(lambda sent: sent.type != last, events))
            on_database(tenant.mypay, make)
            later = list(itertools.takewhile(lambda sent: sent.type != last, events))
        assert [sent.type for sent in seen] == [sent.type for sent in later]
        return [sent.type for sent in seen]

    assert kinds("?type=payment.*", "payment.failed") == ["payment.created"]
    assert kinds(f"?object_id={ids.show(ids.REFUND, two)}&type=refund.*", "refund.created") == []
    assert kinds(f"?object_id={ids.show(ids.PAYMENT, one)}", "payment.failed") == ["payment.created"]


def test_bad_requests(tenant: Tenant, other: Tenant) -> None:
    for query, pointer in (("type=payment.%25", "/type"), ("limit=5", "/limit"), ("livemode=true", "/livemode")):
        assert pointers(tenant.test.get(f"/v1/events/stream?{query}")) == [pointer]
    fill(other, 1)
    theirs = next(walk(other))["id"]
    for last in ("nothing", theirs, ids.show(ids.EVENT, ids.new()), ids.show(ids.PAYMENT, ids.new())):
        refused = tenant.test.get("/v1/events/stream", headers={"Last-Event-ID": last})
        assert code(refused, 400) == "invalid_cursor"
    assert code(tenant.test.get("/v1/events/stream?after=x"), 400) == "invalid_cursor"
    key = tenant.test.post("/v1/api_keys", json={"name": "other", "resources": {"payments": "read"}}).json()["key"]
    assert code(tenant.client(key).get("/v1/events/stream"), 403) == "forbidden"
    assert code(httpx.get(f"{tenant.mypay.base_url}/v1/events/stream"), 401) == "unauthorized"


def test_an_id_older_than_what_is_kept_is_told_so(tenant: Tenant) -> None:
    old = ids.show(ids.EVENT, ids.new(at_ms=int((time.time() - 40 * 86_400) * 1000)))
    with stream_text(tenant, old) as text:
        assert text.startswith("event: gap\ndata: {")
        assert f'"after":"{old}"' in text


@contextlib.contextmanager
def stream_text(tenant: Tenant, after: str) -> Iterator[str]:
    answer = tenant.test.get("/v1/events/stream", headers={"Last-Event-ID": after})
    assert answer.headers["content-type"].startswith("text/event-stream")
    yield answer.text


def test_a_key_that_is_revoked_listens_no_more(tenant: Tenant) -> None:
    made = tenant.test.post("/v1/api_keys", json={"name": "other", "resources": {"events": "read"}}).json()
    with stream(tenant.client(made["key"])) as events:
        begin = time.monotonic()
        assert tenant.test.delete(f"/v1/api_keys/{made['id']}").status_code == 200
        assert list(events) == []  # it ends
        assert time.monotonic() - begin < 10  # seconds: 5, and a busy machine


def test_a_key_has_so_many_streams_and_no_more(tenant: Tenant) -> None:
    client = tenant.client(tenant.test.headers["authorization"].removeprefix("Bearer "))
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            stack.enter_context(stream(client))
        refused = client.get("/v1/events/stream")
        assert code(refused, 429) == "rate_limited"
        assert refused.headers["retry-after"] == "5"
        stack.enter_context(stream(tenant.live))  # another key
    deadline = time.monotonic() + 10
    while client.stream("GET", "/v1/events/stream").__enter__().status_code == 429:
        assert time.monotonic() < deadline


def test_who_takes_nothing_gets_everything_later(tenant: Tenant) -> None:
    """More than may wait for one client, at once, and more than sockets hold: it is read again from the database."""
    fill(tenant, 1)
    with stream(tenant.test) as events:
        fill(tenant, 6 * WAITING_MAX)
        seen = [one.id for one in take(events, 6 * WAITING_MAX)]
    assert seen == [event["id"] for event in itertools.islice(walk(tenant, limit=100), 1, None)]


WRITERS, EACH = 8, 25


async def write(tenant: Tenant, seed: int) -> None:
    """Events in transactions that commit in any order."""
    chance = random.Random(seed)
    connection = await asyncpg.connect(tenant.mypay.settings.database_uri)
    for _ in range(EACH):
        async with connection.transaction():
            await insert(connection, tenant, "payment.created", ids.new())
            await asyncio.sleep(chance.random() * 0.03)
    await connection.close()


async def lead(tenant: Tenant, done: asyncio.Event) -> None:
    """Give positions all the time."""
    connection = await asyncpg.connect(tenant.mypay.settings.database_uri)
    await prepare(connection)
    while not done.is_set():
        await give_positions(connection)
    await give_positions(connection)
    await connection.close()


async def pull(client: httpx.AsyncClient, limit: int, start: str) -> list[str]:
    """All of them by the feed."""
    seen: list[str] = []
    while len(seen) < WRITERS * EACH:
        page = (await client.get(f"/v1/events?limit={limit}&after={start}")).json()
        seen += [event["id"] for event in page["data"]]
        start = page["next"]
    return seen


async def follow(client: httpx.AsyncClient, each_time: int, start: str) -> list[str]:
    """All of them by streams, one after the other."""
    seen: list[str] = []
    while len(seen) < WRITERS * EACH:
        headers = {"Last-Event-ID": seen[-1]} if seen else {}
        wanted = min(len(seen) + each_time, WRITERS * EACH)
        async with client.stream("GET", f"/v1/events/stream?after={start}", headers=headers) as answer:
            async for line in answer.aiter_lines():
                seen += [line.removeprefix("id: ")] if line.startswith("id: ") else []
                if len(seen) == wanted:
                    break
    return seen


def test_what_commits_late_is_seen_once_and_in_order(tenant: Tenant) -> None:
    """Writers that commit in any order, a relay beside them, and readers of the feed and of streams meanwhile."""
    start = tenant.test.get("/v1/events").json()["next"]

    async def race() -> list[list[str]]:
        done = asyncio.Event()
        headers = dict(tenant.test.headers)
        async with httpx.AsyncClient(base_url=tenant.mypay.base_url, headers=headers, timeout=60) as client:
            readers = [pull(client, 3, start), pull(client, 50, start)]
            readers += [follow(client, WRITERS * EACH, start), follow(client, 40, start)]
            reading = asyncio.gather(*readers)
            leading = asyncio.create_task(lead(tenant, done))
            await asyncio.gather(*(write(tenant, seed) for seed in range(WRITERS)))
            done.set()
            await leading
            return list(await reading)

    seen = asyncio.run(race())
    assert len(set(seen[0])) == WRITERS * EACH
    assert seen[1:] == [seen[0]] * 3


@contextlib.contextmanager
def another_process(mypay: Installation) -> Iterator[tuple[Handle, str]]:
    """One more API process, and its address."""
    port = free_port()
    environment = {**mypay.environment, "API_PORT": str(port)}
    program = msgspec.structs.replace(mypay.processes["api"].program, name="api-2", env=environment)
    handle = Handle(program)
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not is_up(port):
            assert time.monotonic() < deadline, handle.log
            time.sleep(0.05)
        yield handle, f"http://127.0.0.1:{port}"
    finally:
        handle.end()


def test_another_process_goes_on_where_one_was_killed(mypay: Installation, tenant: Tenant) -> None:
    with another_process(mypay) as (process, address):
        elsewhere = httpx.Client(base_url=address, headers=tenant.test.headers)
        with stream(elsewhere) as events:
            fill(tenant, 3)
            last = take(events, 2)[-1]
            process.kill()
            with contextlib.suppress(httpx.TransportError):
                list(events)
    fill(tenant, 2)
    with stream(tenant.test, after=last.id) as events:
        assert [one.id for one in take(events, 3)] == [event["id"] for event in walk(tenant)][2:]


def test_a_process_that_is_told_to_end_does_not_wait_for_streams(mypay: Installation, tenant: Tenant) -> None:
    with another_process(mypay) as (process, address):
        elsewhere = httpx.Client(base_url=address, headers=tenant.test.headers)
        with stream(elsewhere) as events:
            process.process.send_signal(signal.SIGTERM)
            assert list(events) == []  # in order, not by granian's patience of 20 s, which would cut it off
            assert process.process.wait(60) == 0


def is_up(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.parametrize("name", ["POST", "PUT", "DELETE"])
def test_it_is_only_read(tenant: Tenant, name: str) -> None:
    assert code(tenant.test.request(name, "/v1/events/stream"), 405) == "method_not_allowed"
