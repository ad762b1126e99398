"""Following events over a stream: where it goes on after each kind of end, by what a server on a socket is asked."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from gateway import event_following
from gateway.cli_remote import Refused, Target, remote
from gateway.event_following import Follower, Told, Wanted, read_stream
from tests.support.receiver import Behave, Received, receiver

pytestmark = pytest.mark.anyio

KEY = "sk_test_x"


def body(number: int, kind: str = "payment.created") -> bytes:
    event = {"id": f"evt_{number}", "type": kind, "sequence": number, "timestamp": "now"}
    return json.dumps({**event, "data": {"object": {"id": "pay_1"}}}).encode()


def sent(*numbers: int, kind: str = "payment.created") -> bytes:
    blocks = [b"id: evt_%d\nevent: %s\ndata: %s\n\n" % (n, kind.encode(), body(n, kind)) for n in numbers]
    return b"retry: 1000\n\n:\n\n" + b"".join(blocks)


def answer(content: bytes, *, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def page(*numbers: int, following: str, more: bool = False) -> bytes:
    shown = [json.loads(body(number)) for number in numbers]
    made = {"object": "list", "data": shown, "has_more": more, "next": following}
    return answer(json.dumps(made).encode(), kind="application/json")


def in_turn(answers: Sequence[bytes]) -> Behave:
    left = list(answers)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not left:
            await reader.read()
            return
        writer.write(left.pop(0))
        await writer.drain()

    return behave


async def follow(
    answers: Sequence[bytes], count: int, *, cursor: str | None = None, wanted: Wanted | None = None
) -> tuple[list[Told], list[Received], list[str]]:
    """So many events, what the server was asked for them, and what a person was told."""
    said: list[str] = []
    async with receiver(in_turn(answers)) as server:
        where = Target(server.url.split("/hooks")[0], KEY)
        async with remote(where) as asked, asyncio.timeout(60):
            follower = Follower(asked, wanted or Wanted(), said.append, cursor=cursor)
            async with aclosing(follower.events()) as events:
                told = [await anext(events) for _ in range(count)]
    return told, server.got, said


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_following, "AGAIN_S", (0.0,))


def places(got: Sequence[Received]) -> list[tuple[str, str | None]]:
    return [(each.path, each.headers.get("last-event-id")) for each in got]


async def test_a_stream_that_ends_goes_on_behind_the_last_event() -> None:
    answers = [answer(sent(1, 2)), answer(b"", status="503 Busy"), answer(sent(3))]
    told, got, said = await follow(answers, 3)
    assert [each.body for each in told] == [body(1), body(2), body(3)]
    assert places(got)[:3] == [("/v1/events/stream", each) for each in (None, "evt_2", "evt_2")]
    assert {each.headers["authorization"] for each in got} == {f"Bearer {KEY}"}
    assert said[0] == "Connected: waiting for events."
    assert said[1] == "The stream ended. Trying again in 0 s."
    assert said[3] == "Connected again."


async def test_a_cursor_and_filters_are_the_installations_to_keep() -> None:
    wanted = Wanted(types=("payment.*",), object_id="pay_1")
    told, got, _ = await follow([answer(sent(7))], 1, cursor="kXA", wanted=wanted)
    assert told[0].id == "evt_7"
    assert places(got) == [("/v1/events/stream?after=kXA&object_id=pay_1&type=payment.%2A", None)]


async def test_several_types_are_sorted_out_here() -> None:
    wanted = Wanted(types=("payment.succeeded", "refund.*"))
    blocks = sent(1) + sent(2, kind="refund.failed") + sent(3, kind="payment.succeeded")
    told, got, _ = await follow([answer(blocks)], 2, wanted=wanted)
    assert [each.id for each in told] == ["evt_2", "evt_3"]
    assert places(got) == [("/v1/events/stream", None)]


async def test_a_gap_is_told_and_the_stream_begins_anew() -> None:
    gap = b'event: gap\ndata: {"object":"gap","after":"evt_1"}\n\n'
    told, got, said = await follow([answer(sent(1)), answer(gap), answer(sent(9))], 2)
    assert [each.id for each in told] == ["evt_1", "evt_9"]
    assert places(got) == [("/v1/events/stream", each) for each in (None, "evt_1", None)]
    assert any(line.startswith("Events are missing") for line in said)


async def test_without_a_stream_the_feed_is_asked_from_its_end_on() -> None:
    missing = answer(b"{}", status="404 Not Found", kind="application/problem+json")
    pages = [page(1, 2, following="b", more=True), page(3, following="c"), page(following="c"), page(4, following="d")]
    told, got, said = await follow([missing, *pages], 1)
    assert told[0].id == "evt_4"
    feed = ["limit=100", *(f"limit=100&after={each}" for each in "bcc")]
    assert [each.path for each in got] == ["/v1/events/stream", *(f"/v1/events?{query}" for query in feed)]
    assert len(said) == 1


async def test_a_stream_that_is_no_longer_there_is_followed_by_the_feed_without_a_hole() -> None:
    missing = answer(b"{}", status="404 Not Found", kind="application/problem+json")
    told, _, _ = await follow([answer(sent(2)), missing, page(1, 2, 3, following="b"), page(4, following="c")], 3)
    assert [each.id for each in told] == ["evt_2", "evt_3", "evt_4"]


async def test_from_the_beginning_the_feed_comes_first() -> None:
    told, got, _ = await follow([page(1, 2, following="b"), answer(sent(3))], 3, cursor="")
    assert [each.id for each in told] == ["evt_1", "evt_2", "evt_3"]
    assert places(got) == [("/v1/events?limit=100", None), ("/v1/events/stream", "evt_2")]


async def test_a_refusal_ends_it_also_after_it_has_worked() -> None:
    problem = b'{"detail": "This key was revoked.", "code": "unauthorized"}'
    refused = answer(problem, status="401 Unauthorized", kind="application/problem+json")
    with pytest.raises(Refused, match=r"MyPay refuses \(401 unauthorized\): This key was revoked\."):
        await follow([answer(sent(1)), refused], 2)
    with pytest.raises(Refused, match="it said 500 in no form"):
        await follow([answer(b"<html>", status="500 Oops", kind="text/html")], 1)


async def test_the_forms_of_a_stream() -> None:
    async def lines() -> object:
        for line in (":hi", "", "data:a", "data: b", "id: 1", "", "event: x", "", "id:2", "data", "", "data: cut"):
            yield line

    blocks = [(each.id, each.event, each.data) async for each in read_stream(lines())]  # type: ignore[arg-type]
    assert blocks == [("1", "message", "a\nb"), (None, "x", ""), ("2", "message", "")]
