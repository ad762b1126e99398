"""Answers: to many requests at once, and what of them a repetition repeats."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.accept.twins import Api
from tests.http.wire import Answer

VARYING = {"request-id", "server-timing", "date", "idempotency-replayed", "ratelimit"}


def lasting(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Everything about an answer that a repetition repeats."""
    return (
        answer.status,
        {name: value for name, value in answer.headers.items() if name not in VARYING},
        answer.body,
    )


def is_replay(answer: Answer) -> bool:
    """Whether the answer says that it repeats another."""
    return answer.headers.get("idempotency-replayed") == "true"


def flood(requests: Sequence[tuple[Api, bytes]], *, connections: int = 64) -> list[Answer | None]:
    """The answers in order, over so many connections to each process; None where a connection ended instead."""
    return asyncio.run(flood_on_this_loop(requests, connections))


def answered(answers: Sequence[Answer | None]) -> list[Answer]:
    """The answers, of which none may be missing."""
    assert None not in answers
    return [answer for answer in answers if answer is not None]


async def flood_on_this_loop(requests: Sequence[tuple[Api, bytes]], connections: int) -> list[Answer | None]:
    """As `flood`, for tests that are async."""
    answers: list[Answer | None] = [None] * len(requests)
    queues: dict[int, list[tuple[int, bytes]]] = {}
    for number, (api, sent) in reversed(list(enumerate(requests))):
        queues.setdefault(api.port, []).append((number, sent))

    async def work(port: int, queue: list[tuple[int, bytes]]) -> None:
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while queue:
            number, sent = queue.pop()
            try:
                stream = stream or await asyncio.open_connection("127.0.0.1", port)
                stream[1].write(sent)
                answers[number] = await _read(stream[0])
            except (OSError, asyncio.IncompleteReadError):
                stream = None
                await asyncio.sleep(0.02)
        if stream is not None:
            stream[1].close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(port, queue) for port, queue in queues.items() for _ in range(connections)))
    return answers


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(head[0].split()[1]), headers, body)


def decoded(answer: Answer) -> Any:
    """The body of a 201 or 200."""
    assert answer.status in (200, 201), answer
    return msgspec.json.decode(answer.body)
