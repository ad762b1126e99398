"""`mypay webhooks replay`: sends the events of a span of time to an endpoint again, however many they are."""

import argparse
import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway import cli_remote, ids
from gateway.cli_remote import Refused, Remote, Target, TargetUnusable, say

POLL_S: Final = 0.5
SHORTEST: Final = timedelta(milliseconds=1)  # what events are dated by
COUNTED: Final = 100  # a page of deliveries

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Span(Struct, frozen=True):
    """From `since` until before `until`; None: until the installation's now."""

    since: datetime
    until: datetime | None


class Done(Struct, frozen=True, kw_only=True):
    """What a replay came to. `waiting`: not delivered yet, or None where it was not waited for."""

    endpoint: str
    scheduled: int
    waiting: int | None


class _Endpoint(Struct):
    id: str
    url: str


class _Endpoints(Struct):
    data: list[_Endpoint]


def run(options: argparse.Namespace) -> int:
    """Replay, and wait until nothing waits any more."""
    where = cli_remote.target(options)
    span = Span(_time(options.since, "--from"), None if options.to is None else _time(options.to, "--to"))
    try:
        done = asyncio.run(_replay(where, options, span))
    except KeyboardInterrupt:
        return 130
    text = f"{done.scheduled} deliveries to {done.endpoint} scheduled"
    waited = {None: ".", 0: ", and none of the endpoint's waits any more."}.get(done.waiting, "; some still wait.")
    print(msgspec.json.encode(done).decode() if options.json else text + waited)
    return 1 if done.waiting else 0


async def _replay(where: Target, options: argparse.Namespace, span: Span) -> Done:
    async with cli_remote.remote(where) as remote:
        endpoint = options.endpoint or await _only_endpoint(remote)
        if ids.read(ids.WEBHOOK_ENDPOINT, endpoint) is None:
            raise TargetUnusable(f"{endpoint} is no id of a webhook endpoint (whe_…).")
        scheduled = 0
        async for part, count in _scheduled(remote, endpoint, span, options.types):
            scheduled += count
            say(f"{_shown(part)}: {count} scheduled, {scheduled} in all.")
        waiting = await _drained(remote, endpoint, options.wait) if scheduled and options.wait else None
        return Done(endpoint=endpoint, scheduled=scheduled, waiting=waiting)


async def _only_endpoint(remote: Remote) -> str:
    found = msgspec.convert(await remote.get("/v1/webhook_endpoints", limit=2, status="enabled"), _Endpoints).data
    if len(found) != 1:
        raise TargetUnusable("Name the endpoint (whe_…): there is not just one that is enabled.")
    return found[0].id


async def _scheduled(remote: Remote, endpoint: str, span: Span, types: str | None) -> AsyncIterator[tuple[Span, int]]:
    """Each part of the span with how many deliveries it has; one that has too many for a request is halved."""
    parts = [span]
    while parts:
        part = parts.pop()
        try:
            yield part, await _ask(remote, endpoint, part, types)
        except Refused as error:
            halves = _halves(part) if error.pointers == ("/to",) else None
            if halves is None:
                raise
            parts += reversed(halves)


def _halves(span: Span) -> tuple[Span, Span] | None:
    """Two spans with the same events; None where it is too short."""
    middle = span.since + ((span.until or datetime.now(UTC)) - span.since) / 2
    if middle - span.since < SHORTEST:
        return None
    return Span(span.since, middle), Span(middle, span.until)


async def _ask(remote: Remote, endpoint: str, span: Span, types: str | None) -> int:
    body: dict[str, Any] = {"from": span.since.isoformat()}
    if span.until is not None:
        body["to"] = span.until.isoformat()
    if types is not None:
        body["events"] = types.split(",")
    key = f"replay-{uuid.uuid4().hex}"
    return int((await remote.post(f"/v1/webhook_endpoints/{endpoint}/replay", body, key=key))["scheduled"])


async def _drained(remote: Remote, endpoint: str, wait_s: float) -> int:
    """How many deliveries wait, once none does or the time is over; up to a page of them is counted."""
    shown, end = -1, asyncio.get_running_loop().time() + wait_s
    while True:
        page = await remote.get(f"/v1/webhook_endpoints/{endpoint}/deliveries", status="pending", limit=COUNTED)
        waiting = len(page["data"])
        if waiting != shown:
            say(f"{'More than ' if page['has_more'] else ''}{waiting} deliveries wait.")
        if not waiting or asyncio.get_running_loop().time() > end:
            return waiting
        shown = waiting
        await asyncio.sleep(POLL_S)


def _time(text: str, option: str) -> datetime:
    """A time with its offset from UTC, or how long ago: "2026-11-25T09:00:00Z", "90m", "24h", "7d"."""
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is not None and number.isascii() and number.isdigit() and int(number) < 10_000:
        return datetime.now(UTC) - timedelta(**{unit: int(number)})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise TargetUnusable(f"{option} is written like 2026-11-25T09:00:00Z, or 90m, 24h, 7d for so long ago.")
    return at.astimezone(UTC)


def _shown(span: Span) -> str:
    until = "now" if span.until is None else span.until.isoformat(timespec="milliseconds")
    return f"{span.since.isoformat(timespec='milliseconds')} to {until}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `mypay webhooks`."""
    parser.add_argument("action", choices=["replay"])
    parser.add_argument("endpoint", nargs="?", metavar="ENDPOINT", help="whe_… (left out: the only one there is)")
    parser.add_argument(
        "--from", dest="since", required=True, metavar="TIME", help="events made from then on: a time, or 90m, 24h, 7d"
    )
    parser.add_argument("--to", metavar="TIME", help="and before then (default: now)")
    parser.add_argument("--types", help="only these, as in payment.succeeded,refund.* (default: its own)")
    parser.add_argument(
        "--wait",
        type=float,
        default=600.0,
        metavar="S",
        help="wait so long for their delivery (default: 600)",
    )
    cli_remote.arguments(parser)
