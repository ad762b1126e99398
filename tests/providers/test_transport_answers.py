"""The transport once something was sent: every failure is Unknown, and what was answered is left to the flow."""

import asyncio
import time

import pytest

from providers.connections import BODY_LIMIT
from providers.contract import Ambiguous, HttpRequest, NotSent, Succeeded, Unknown
from providers.transport import LeaseTooShort
from tests.providers.peers import ANSWER, SECRET, answering, provider, read_request, reset, response, sized

pytestmark = pytest.mark.anyio


# --- Something may have happened ----------------------------------------------------------------------------------


ANSWERS = {
    "closed": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "no http": b"\x16\x03\x01 nonsense\r\n\r\n",
    "less than promised": response("200 OK\r\ncontent-length: 100", b'{"ok":'),
    "truncated json": sized(b'{"ok": '),
    "html": sized(b"<html>Bad gateway</html>"),
    "empty": sized(b""),
    "not utf-8": sized(b'{"ok": "\xff"}'),
    "too deep": sized(b"[" * 100_000),
    "too long": sized(b" " * (BODY_LIMIT + 1)),
    "endless": response("200 OK\r\ntransfer-encoding: chunked", b"ffff\r\n" + b" " * 65535 + b"\r\n")
    + (b"ffff\r\n" + b" " * 65535 + b"\r\n") * 20,
    "compressed": sized(b"\x1f\x8b\x08", extra="\r\ncontent-encoding: gzip"),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
async def test_unusable_answers(call, peer, name):
    url = await peer(answering(ANSWERS[name]))
    assert isinstance(await call(url), Unknown)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 429, 500, 502, 503, 504])
async def test_statuses_are_left_to_the_flow(call, peer, status):
    seen = []

    async def behave(reader, writer):
        seen.append(await read_request(reader))
        writer.write(sized(b"", status=f"{status} X", extra=f"\r\nlocation: {url}/elsewhere\r\nset-cookie: a=b"))
        await writer.drain()

    url = await peer(behave)
    assert await call(url) == Ambiguous(detail=f"HTTP {status}")
    await call(url)
    assert len(seen) == 2, "nothing is repeated, and no redirect followed"
    assert b"cookie" not in seen[1].lower()


async def test_reset_after_the_request(call, peer):
    async def behave(reader, writer):
        await read_request(reader)
        reset(writer)

    assert isinstance(await call(await peer(behave)), Unknown)


async def test_reset_at_once(call, peer):
    async def behave(reader, writer):
        reset(writer)

    assert isinstance(await call(await peer(behave)), (Unknown, NotSent))


@pytest.mark.parametrize(
    "behave",
    [answering(b"", end=False), answering(ANSWER, pause=0.1), answering(ANSWER[:40], end=False)],
    ids=["hangs", "drips", "stops midway"],
)
async def test_the_deadline_bounds_everything(call, peer, behave):
    url = await peer(behave)
    started = time.monotonic()
    assert isinstance(await call(url, deadline_s=0.4), Unknown)
    assert time.monotonic() - started < 3  # to drip takes five seconds


async def test_a_slow_answer_within_the_deadline(call, peer):
    assert await call(await peer(answering(ANSWER, before=0.3))) == Succeeded()


async def test_the_biggest_answer(call, peer):
    assert await call(await peer(answering(sized(b" " * (BODY_LIMIT - 4) + b"null")))) == Succeeded()


async def test_a_bug_after_the_request(call, peer, caplog):
    def flow():
        yield HttpRequest(method="GET", path="/")
        raise ValueError(SECRET)

    assert await call(await peer(answering(ANSWER)), flow()) == Unknown(detail="ValueError")
    assert SECRET not in caplog.text


async def test_a_second_request_that_is_not_sent(call, peer):
    """Once the first went out nothing is NotSent any more."""

    async def behave(reader, writer):
        await read_request(reader)
        writer.write(ANSWER)
        await writer.drain()
        await hang_up()

    async def hang_up():
        servers.pop().close()

    servers = []

    async def connected(reader, writer):
        await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    servers.append(server)

    def flow():
        yield HttpRequest(method="GET", path="/first")
        yield HttpRequest(method="GET", path="/second")
        return Succeeded()

    assert isinstance(await call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flow()), Unknown)


async def test_cancellation_is_passed_on(call, peer):
    task = asyncio.create_task(call(await peer(answering(b"", end=False))))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- Kept connections ---------------------------------------------------------------------------------------------


async def test_a_connection_is_kept_and_a_closed_one_is_noticed(call, peer):
    connections = []

    async def behave(reader, writer):
        connections.append(0)
        while await read_request(reader):
            writer.write(ANSWER)
            await writer.drain()
            connections[-1] += 1
            if connections[-1] == 2:
                return

    url = await peer(behave)
    for _ in range(3):
        assert await call(url) == Succeeded()
        await asyncio.sleep(0.05)
    assert connections == [2, 1]


async def test_a_kept_connection_that_dies_under_the_request(call, peer):
    async def behave(reader, writer):
        await read_request(reader)
        writer.write(ANSWER)
        await read_request(reader)
        reset(writer)

    url = await peer(behave)
    assert await call(url) == Succeeded()
    assert isinstance(await call(url), Unknown)


async def test_a_second_answer_to_one_request_is_not_taken_for_the_next(call, peer):
    async def behave(reader, writer):
        while await read_request(reader):
            writer.write(ANSWER)
            await asyncio.sleep(0.02)
            writer.write(sized(b"broken"))

    url = await peer(behave)
    for _ in range(2):
        assert await call(url) == Succeeded()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["deadline", "cancellation", "too long", "hook"])
async def test_a_call_that_ends_early_frees_its_slot_and_drops_its_connection(call, peer, how):
    connections = 0

    async def behave(reader, writer):
        nonlocal connections
        connections += 1
        while await read_request(reader):
            if connections > 1:
                writer.write(ANSWER)
            elif how == "too long":
                writer.write(sized(b" " * (BODY_LIMIT + 1)))
            else:
                await reader.read()

    def refuse():
        raise LeaseTooShort

    url, spec = await peer(behave), provider(slots=1)
    first = asyncio.create_task(
        call(url, spec=spec, deadline_s=0.2 if how == "deadline" else 5, before_send=refuse if how == "hook" else None)
    )
    await asyncio.sleep(0.1)
    if how == "cancellation":
        first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await call(url, spec=spec) == Succeeded()
    assert connections == 2
