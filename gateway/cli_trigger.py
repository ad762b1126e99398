"""`mypay trigger`: makes happen, in the sandbox, what leads to an event, by requests that any client could make."""

import argparse
import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway import cli_remote
from gateway.cli_remote import Refused, Remote, Target, TargetUnusable, say
from gateway.event_following import Told, read_event

POLL_S: Final = 0.2


class Step(Struct, frozen=True):
    """A request, once `awaits` (an event type) is there; `{id}` stands for the first object that was made."""

    path: str
    body: Mapping[str, Any] = {}
    awaits: str = ""


class Trigger(Struct, frozen=True):
    """What to do for an event, and what a person should know about it."""

    steps: Sequence[Step]
    note: str


def _wallet(digits: str) -> dict[str, str]:
    return {"type": "mobile_money", "phone": f"+26658123{digits}"}


def _pay(digits: str, **more: Any) -> Step:
    return Step("/v1/payments", {"method": _wallet(digits), **more})


def _pay_out(digits: str) -> Step:
    return Step("/v1/payouts", {"destination": _wallet(digits)})


_REFUND: Final = Step("/v1/refunds", {"payment": "{id}"}, awaits="payment.succeeded")
_DECLINED: Final = Step(
    "/v1/refunds", {"payment": "{id}", "reason": "tok_insufficient_funds"}, awaits="payment.succeeded"
)
_HOLD: Final = _pay("000", capture="manual")
_RESOLVE: Final = Step(
    "/v1/payments/{id}/resolve", {"action": "mark_succeeded", "reason": "mypay trigger"}, awaits="payment.review"
)

TRIGGERS: Final[Mapping[str, Trigger]] = {
    "payment.created": Trigger([_pay("000")], "A payment that succeeds."),
    "payment.processing": Trigger([_pay("000")], "A payment that succeeds."),
    "payment.succeeded": Trigger([_pay("000")], "A payment that succeeds."),
    "payment.failed": Trigger([_pay("002")], "A payment that is declined: insufficient_funds."),
    "payment.requires_action": Trigger([_pay("011")], "A payment that waits for a code; 123456 is right."),
    "payment.authorized": Trigger([_HOLD], "A payment whose money is reserved."),
    "payment.captured": Trigger(
        [_HOLD, Step("/v1/payments/{id}/capture", awaits="payment.authorized")], "A reserved payment, captured."
    ),
    "payment.canceled": Trigger(
        [_HOLD, Step("/v1/payments/{id}/cancel", awaits="payment.authorized")], "A reserved payment, called off."
    ),
    "payment.expired": Trigger([_pay("004", expires_in=60)], "A payment that nobody approves; takes two minutes."),
    "payment.refunded": Trigger([_pay("000"), _REFUND], "A payment, refunded."),
    "payment.review": Trigger([_pay("009")], "A payment of which the provider states another amount."),
    "payment.review_resolved": Trigger([_pay("009"), _RESOLVE], "The same, then decided by a person."),
    "refund.created": Trigger([_pay("000"), _REFUND], "A payment, refunded."),
    "refund.succeeded": Trigger([_pay("000"), _REFUND], "A payment, refunded."),
    "refund.failed": Trigger([_pay("000"), _DECLINED], "A refund that the provider declines."),
    "payout.created": Trigger([_pay_out("000")], "A payout that succeeds."),
    "payout.processing": Trigger([_pay_out("000")], "A payout that succeeds."),
    "payout.succeeded": Trigger([_pay_out("000")], "A payout that succeeds."),
    "payout.failed": Trigger([_pay_out("002")], "A payout that is declined."),
}


class _Made(Struct):
    id: str


class _Page(Struct):
    data: list[msgspec.Raw]


def run(options: argparse.Namespace) -> int:
    """Make it happen, and show the event."""
    if options.event is None:
        return _list(options)
    if options.event not in TRIGGERS:
        raise TargetUnusable(f"{options.event} cannot be triggered: there are {', '.join(TRIGGERS)}.")
    where = cli_remote.target(options)
    if not where.is_test:
        raise TargetUnusable("This key is live, and the sandbox only takes test keys: use one that begins sk_test_.")
    try:
        told = asyncio.run(carry_out(where, options))
    except KeyboardInterrupt:
        return 130
    print(told.body.decode() if options.json else f"{told.type} {told.about} #{told.sequence} {told.id}")
    return 0


def _list(options: argparse.Namespace) -> int:
    for name, trigger in TRIGGERS.items():
        line = msgspec.json.encode({"type": name, "note": trigger.note}).decode() if options.json else None
        print(line or f"{name:<26} {trigger.note}")
    return 0


async def carry_out(where: Target, options: argparse.Namespace) -> Told:
    """Do what leads to `options.event`, and wait for it. Raises `Refused`."""
    async with cli_remote.remote(where) as remote:
        made = ""
        try:
            async with asyncio.timeout(options.timeout):
                for step in TRIGGERS[options.event].steps:
                    if step.awaits:
                        await _event(remote, step.awaits, made)
                    answer = await _do(remote, step, made, options)
                    about = answer.id
                    made = made or about
                    say(f"POST {step.path.format(id=made)}: {about}")
                return await _event(remote, options.event, about if options.event.startswith("refund.") else made)
        except TimeoutError:
            raise Refused(
                f"{options.event} did not come within {options.timeout:g} s (is a worker running?); about {made}."
            ) from None


async def _do(remote: Remote, step: Step, made: str, options: argparse.Namespace) -> _Made:
    body = {name: made if value == "{id}" else value for name, value in step.body.items()}
    if step.path in ("/v1/payments", "/v1/payouts"):
        body |= {"provider": "sandbox", "amount": options.amount, "currency": options.currency}
    answer = await remote.post(step.path.format(id=made), body, key=f"trigger-{uuid.uuid4().hex}")
    return msgspec.convert(answer, _Made)


async def _event(remote: Remote, kind: str, about: str) -> Told:
    """The event, as soon as it is in the feed."""
    while True:
        content = await remote.get_bytes("/v1/events", type=kind, object_id=about, limit=1)
        if found := msgspec.json.decode(content, type=_Page).data:
            return read_event(bytes(found[0]))
        await asyncio.sleep(POLL_S)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Those of `mypay trigger`."""
    parser.add_argument("event", nargs="?", metavar="EVENT", help="such as payment.succeeded (left out: list them)")
    parser.add_argument("--amount", type=int, default=15000, help="in minor units (default: 15000)")
    parser.add_argument("--currency", default="LSL", help="(default: LSL)")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="S", help="seconds to wait (default: 180)")
    cli_remote.arguments(parser)
