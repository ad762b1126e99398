"""The generated pages below docs/reference/ but the providers'."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import settings as settings_module
from gateway.http.openapi import ENDPOINTS, Endpoint
from gateway.metrics import METRICS, LabelledCounter
from gateway.payments.errors import PROBLEMS, FieldCode
from gateway.payments.model import ReviewReason
from gateway.routing.choose import Reason
from gateway.settings import Settings
from providers.contract import Secret
from providers.declines import DECLINES
from streams import topics as topic_names
from streams.codec import CallbackReceived, Command
from streams.events import Event, message_of
from tests.docs.markdown import code, codes, page, table

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"


def api() -> str:
    """docs/reference/api.md."""
    return page(
        "API",
        "gateway/http/openapi.py",
        "The operations for merchants. A running installation serves the whole contract, schemas included, as OpenAPI 3.1"
        " at `/openapi.json`. How they are used: [accept a payment](../guides/accept-a-payment.md).",
        table(
            ["call", "what it does", "answers", "Idempotency-Key", "errors of its own"],
            [_operation(each) for each in ENDPOINTS],
        ),
        "Every call can also be answered with the general [errors](errors.md).",
        "## Filters of the list",
        _filters(next(each for each in ENDPOINTS if each.query is not None)),
    )


def _operation(endpoint: Endpoint) -> tuple[str, ...]:
    return (
        code(f"{endpoint.method.upper()} {endpoint.path}"),
        endpoint.summary,
        str(endpoint.status),
        "required" if endpoint.keyed else "",
        codes(endpoint.problems),
    )


def _filters(endpoint: Endpoint) -> str:
    assert endpoint.query is not None
    names = [field.encode_name for field in msgspec.structs.fields(endpoint.query)]
    return f"`GET {endpoint.path}` takes {codes(names)}."


def errors() -> str:
    """docs/reference/errors.md."""
    problems = [
        (kind.status, code(name), kind.meaning, kind.advice)
        for name, kind in sorted(PROBLEMS.items(), key=lambda item: item[1].status)
    ]
    return page(
        "Errors",
        "gateway/payments/errors.py, gateway/routing/choose.py and providers/declines.py",
        "Every answer that is not 2xx or 3xx is `application/problem+json` (RFC 9457). Its `code` is stable; its `type` is"
        " an address of the installation that shows the page of the code. A code may be here before the operation that"
        " answers with it.",
        "## Refused requests",
        table(["status", "code", "meaning", "what to do"], problems),
        "## `errors`: what is wrong with a member",
        f"Each entry has a `pointer` (RFC 6901), a `detail` and a `code`: {codes(get_args(FieldCode))}.",
        "## `accounts`: why an account cannot take a payment",
        f"With `no_route`, each account that was looked at has a `reason`: {codes(Reason)}.",
        "## `failure`: why a payment failed",
        "A decline is no HTTP error: the payment exists, its `status` is `failed`, and `failure` says why.",
        table(["code", "message", "advice"], [(code(name), said.message, code(said.advice)) for name, said in DECLINES.items()]),
        "## `review`: why a person must look at a payment",
        f"`review.reason` is one of {codes(ReviewReason)}. Meanwhile the payment is not charged, and does not expire.",
    )


def settings() -> str:
    """docs/reference/settings.md."""
    described = dict(_described(ENV_EXAMPLE.read_text(encoding="utf-8")))
    rows = [
        (code(field.name.upper()), described[field.name.upper()], _default(field))
        for field in msgspec.structs.fields(Settings)
    ]
    return page(
        "Settings",
        "gateway/settings.py and .env.example",
        "Environment variables, or lines of `.env` in the working directory; variables win. `mypay up` makes its own"
        " (below its directory), and reads only `PUBLIC_URL` from outside.",
        table(["variable", "meaning", "default"], rows),
        "Whatever is missing or not valid is one sentence on stderr and exit status 2.",
    )


def _described(example: str) -> Iterator[tuple[str, str]]:
    """Each variable with the comment above it; neighbours share one."""
    for block in example.split("\n\n"):
        lines = block.splitlines()
        comment = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
        for line in lines:
            if found := re.match(r"#?([A-Z_]+)=", line):
                yield found[1], comment


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is None or field.default == "" or field.type is Secret:
        return ""
    return code(msgspec.json.encode(field.default).decode().strip('"'))


def metrics() -> str:
    """docs/reference/metrics.md."""
    labels = {each._counter._name: each._counter._labelnames for each in vars(METRICS).values() if _has_labels(each)}
    rows = [
        (code(one.name + ("_total" if one.type == "counter" else "")), one.type, codes(labels.get(one.name, ())), one.documentation)
        for one in METRICS.registry.collect()
    ]
    return page(
        "Metrics",
        "gateway/metrics.py",
        "`GET /metrics` of the API, in Prometheus' text format; with `METRICS_TOKEN` set it asks for that token as a bearer"
        " token. Names and labels are only added to.",
        table(["metric", "kind", "labels", "meaning"], rows),
    )


def _has_labels(value: object) -> bool:
    return isinstance(value, LabelledCounter)


def topics() -> str:
    """docs/reference/topics.md."""
    return page(
        "Topics",
        "streams/topics.py, codec.py and events.py",
        "Kafka carries; PostgreSQL remembers. A message of ours only names a row, so an old one is never wrong and a forged"
        " one moves no money. All are at least once.",
        table(["topic", "key", "value", "read by"], _topics()),
        f"The partition is not left to the client: it is the *logical partition* (0 to 255, the last byte of the payment's"
        f" id) modulo the number of partitions. `KAFKA_PREFIX` stands before every name on the broker. Missing topics are"
        f" created by whoever meets them; all of them: {codes(topic_names.every_topic())}.",
        "## Commands and callbacks",
        "JSON. Readers ignore members that they do not know; new members have defaults.",
        table(["message", "member", "when it is there"], [*_members(Command), *_members(CallbackReceived)]),
        "## Events",
        "CloudEvents 1.0 in binary mode. The value is the event as JSON; these are the headers of an event, as an example:",
        table(["header", "value"], _headers()),
        "Consumers take `ce_id` for duplicates, and `ce_sequence` (per `ce_subject`, without gaps) for order.",
    )


def _topics() -> list[tuple[str, ...]]:
    return [
        (code(topic_names.commands("<provider>")), "payment id", code("Command"), "worker, role executor"),
        (code(topic_names.callbacks("<provider>")), "callback id", code("CallbackReceived"), "worker, role callbacks"),
        (codes([topic_names.EVENTS_LIVE, topic_names.EVENTS_TEST]), "payment id", "event", "anybody"),
        (code(topic_names.dead("<topic>")), "as it was", "as it was, with `dlq_*` headers", "people"),
    ]


def _members(message: type[Struct]) -> Iterator[tuple[str, str, str]]:
    for field in msgspec.structs.fields(message):
        yield code(message.__name__), code(field.encode_name), "always" if field.required else "where known"


def _headers() -> list[tuple[str, str]]:
    example = Event(
        position=1,
        id=UUID("01a2104b-dc30-75de-948c-2538dfcfc8cb"),
        livemode=False,
        root_id=UUID("01a2104b-dc30-75de-948c-2538dfcfc8cb"),
        object_id=UUID("01a2104b-dc30-75de-948c-2538dfcfc8cb"),
        type="payment.succeeded",
        sequence=3,
        body=b"{}",
        created_at=datetime(2026, 11, 25, 1, 22, 16, 708_000, UTC),
    )
    return [(code(name), code((value or b"").decode())) for name, value in message_of(example).headers]
