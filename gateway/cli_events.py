"""`mypay events tail` and `mypay listen`: a merchant's events on a screen, and at a server on one's own machine."""

import argparse
import asyncio
import hmac
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gateway import cli_remote
from gateway.cli_remote import Target, TargetUnusable, is_address, say
from gateway.event_following import Follower, Told, Wanted

if TYPE_CHECKING:
    from gateway.webhook_signing import SigningKeys

_LABEL: Final = b"mypay listen"

Deliver = Callable[[Told], Awaitable[None]]


class Answer(Protocol):
    """What came of one request to the receiver: its status, or the sentence why there is none."""

    @property
    def status(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...


class Sending(Protocol):
    """Sends to one address, as the notifier does."""

    async def send(self, headers: dict[str, str], body: bytes) -> Answer:
        """One attempt."""
        ...

    async def aclose(self) -> None:
        """Close what is kept open."""
        ...


def tail(options: argparse.Namespace) -> int:
    """Show events until Ctrl-C, or until `--count` of them came."""
    where = cli_remote.target(options)

    async def show(told: Told) -> None:
        _line(told.body.decode() if options.json else _words(told))

    return _run(_follow(where, options, show))


def listen(options: argparse.Namespace, sender: Callable[[str], Sending]) -> int:
    """Forward events as signed webhooks until Ctrl-C. `sender` makes what sends to an address."""
    where = cli_remote.target(options)
    keys = secret_for(where)
    if options.print_secret:
        print(keys.shared)
        return 0
    url = _receiver(options.forward_to)
    _line(_json(secret=keys.shared, forwards_to=url) if options.json else f"Signing secret: {keys.shared}")
    return _run(_forward(where, options, sender(url), keys))


def secret_for(where: Target) -> "SigningKeys":
    """What `listen` signs with: for one key always the same, so that a receiver is told once. It does not betray it."""
    from gateway.webhook_signing import SigningKeys

    return SigningKeys(secret=hmac.digest(where.key.encode(), _LABEL, "sha256"))


async def _forward(where: Target, options: argparse.Namespace, sending: Sending, keys: "SigningKeys") -> None:
    from gateway.webhook_signing import headers

    async def deliver(told: Told) -> None:
        answer = await sending.send(headers([keys], told.id, datetime.now(UTC), told.body), told.body)
        if options.json:
            _line(_json(event=msgspec.Raw(told.body), status=answer.status, error=answer.error))
        else:
            _line(f"{_words(told)} -> {answer.status or answer.error}")

    try:
        await _follow(where, options, deliver)
    finally:
        await sending.aclose()


async def _follow(where: Target, options: argparse.Namespace, deliver: Deliver) -> None:
    wanted = Wanted(types=tuple(filter(None, (options.types or "").split(","))), object_id=options.object)
    async with cli_remote.remote(where) as remote:
        follower = Follower(remote, wanted, say, cursor=_cursor(options))
        left = options.count
        async with aclosing(follower.events()) as events:
            async for told in events:
                await deliver(told)
                if left is not None and (left := left - 1) <= 0:
                    return


def _cursor(options: argparse.Namespace) -> str | None:
    """Where it begins: behind the cursor that was named, at the very beginning, or (None) now."""
    return "" if options.beginning else options.after


def _run(work: Coroutine[object, object, None]) -> int:
    """To its end, or to Ctrl-C, which is how one ends it."""
    with suppress(KeyboardInterrupt):
        asyncio.run(work)
    return 0


def _receiver(url: str | None) -> str:
    if url is None or not is_address(url) or "@" in url:
        raise TargetUnusable("Name your server: --forward-to http://localhost:9000/hooks.")
    return url


def _words(told: Told) -> str:
    return f"{told.timestamp}  {told.type:<26} {told.about} #{told.sequence}  {told.id}"


def _json(**members: object) -> str:
    return msgspec.json.encode(members).decode()


def _line(text: str) -> None:
    print(text, flush=True)


def tail_arguments(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Those that choose the events, where they begin and end, and whose they are."""
    parser.add_argument("--types", help=f"{what}only these, as in payment.succeeded,refund.* (default: all)")
    parser.add_argument("--object", metavar="ID", help=f"{what}only those about one object (pay_…, ref_…)")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--after", metavar="CURSOR", help=f"{what}begin behind this cursor of GET /v1/events")
    begin.add_argument("--beginning", action="store_true", help=f"{what}begin with the oldest that is kept")
    parser.add_argument("--count", type=int, metavar="N", help=f"{what}end after so many (default: at Ctrl-C)")
    cli_remote.arguments(parser, what)


def listen_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `mypay listen`."""
    parser.add_argument("--forward-to", metavar="URL", help="your server, such as http://localhost:9000/hooks")
    parser.add_argument("--print-secret", action="store_true", help="only print the signing secret of this key")
    tail_arguments(parser)
