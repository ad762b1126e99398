"""Server-sent events as a client reads them, by the rules of the HTML standard that our streams use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx


class Sent(NamedTuple):
    """One event: `type` "" for a comment, of which `data` is the text."""

    id: str
    type: str
    data: str


def read(lines: Iterator[str]) -> Iterator[Sent]:
    """The events and comments of a stream, as they come; ends with it."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and not name:
            yield Sent("", "", value.strip())
        elif line:
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Sent(fields.get("id", ""), fields.get("event", "message"), fields["data"])
            fields = {}


@contextmanager
def stream(client: httpx.Client, query: str = "", *, after: str | None = None) -> Iterator[Iterator[Sent]]:
    """An open stream, without its comments; `after` is a Last-Event-ID."""
    headers = {} if after is None else {"Last-Event-ID": after}
    with client.stream("GET", f"/v1/events/stream{query}", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")  # the stream is open, and begins here
        yield (sent for sent in read(lines) if sent.type)
