"""The generated pages below docs/reference/ but the providers'."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway.event_types import EVENT_TYPES
from gateway.http.endpoints import ENDPOINTS, Endpoint
from gateway.metrics import METRICS
from gateway.payments.errors import PROBLEMS, FieldCode
from gateway.payments.model import ReviewReason
from gateway.routing.choose import Reason
from gateway.settings import Settings
from providers.declines import DECLINES
from streams import topics as topic_names
from streams.codec import CallbackReceived, Command
from streams.events import Event, message_of
from tests.docs.markdown import code, codes, page, table

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"

# --- API --------------------------------------------------------------------------------------------------------------

API = """
The operations. A running installation serves the whole contract, schemas included, as OpenAPI 3.1 at
`/openapi.json`. How they are used: [accept a payment](../guides/accept-a-payment.md).
"""
NEEDS = """
A full key has every permission of its merchant, a restricted key those it was given, a person those of the role:
[people and keys](../guides/people-and-keys.md). `merchants`, `users` and `statistics` are for people alone.
"""


def api() -> str:
    """docs/reference/api.md."""
    return page(
        "API",
        "gateway/http/endpoints.py",
        API,
        table(
            ["call", "what it does", "needs", "answers", "Idempotency-Key", "errors of its own"],
            map(_operation, ENDPOINTS),
        ),
        NEEDS,
        "Every call can also be answered with the general [errors](errors.md).",
        "## Filters",
        *map(_filters, filter(_parameters, ENDPOINTS)),
    )


def _operation(endpoint: Endpoint) -> tuple[str, ...]:
    return (
        code(f"{endpoint.method.upper()} {endpoint.path}"),
        endpoint.summary,
        _needs(endpoint),
        str(endpoint.status),
        "required" if endpoint.keyed else "honoured" if endpoint.repeatable else "",
        codes(endpoint.problems),
    )


def _needs(endpoint: Endpoint) -> str:
    if endpoint.caller == "anybody":
        return "nothing"
    return code(endpoint.permission) or ("a credential" if endpoint.caller == "merchant" else "an access token")


def _filters(endpoint: Endpoint) -> str:
    return f"`GET {endpoint.path}` takes {codes(_parameters(endpoint))}."


def _parameters(endpoint: Endpoint) -> list[str]:
    fields = msgspec.structs.fields(endpoint.query) if endpoint.query is not None else ()
    return [field.encode_name for field in fields]


# --- Errors -----------------------------------------------------------------------------------------------------------

ERRORS = """
Every answer that is not 2xx or 3xx is `application/problem+json` (RFC 9457). Its `code` is stable; its `type` is an
address of the installation that shows the page of the code. A code may be listed before the operation that answers with
it exists.
"""


def errors() -> str:
    """docs/reference/errors.md."""
    problems = sorted(PROBLEMS.items(), key=lambda item: item[1].status)
    return page(
        "Errors",
        "gateway/payments/errors.py and model.py, gateway/routing/choose.py and providers/declines.py",
        ERRORS,
        "## Refused requests",
        table(
            ["status", "code", "meaning", "what to do"],
            [(kind.status, code(name), kind.meaning, kind.advice) for name, kind in problems],
        ),
        "## `errors`: what is wrong with a member",
        f"Each entry has a `pointer` (RFC 6901), a `detail` and a `code`: {codes(get_args(FieldCode))}.",
        "## `accounts`: why an account cannot take a payment",
        f"With `no_route`, each account that was looked at has a `reason`: {codes(Reason)}.",
        "## `failure`: why a payment failed",
        "A decline is no HTTP error: the payment exists, its `status` is `failed`, and `failure` says why.",
        table(
            ["code", "message", "advice"],
            [(code(name), said.message, code(said.advice)) for name, said in DECLINES.items()],
        ),
        "## `review`: why a person must look at a payment",
        f"`review.reason` is one of {codes(ReviewReason)}. While a review is open, nothing is sent that takes money.",
    )


# --- Settings ---------------------------------------------------------------------------------------------------------

SETTINGS = """
Environment variables, or lines of `.env` in the working directory; variables win. Whatever is missing or not valid is
one sentence on stderr, and exit status 2. `mypay up` makes its own keys, addresses and mode, and takes the rest, such
as `API_PROCESSES`, `LOG_FILE` or `PUBLIC_URL`, from here.
"""


def settings() -> str:
    """docs/reference/settings.md."""
    described = _described(ENV_EXAMPLE.read_text(encoding="utf-8"))
    defaults = {field.name.upper(): _default(field) for field in msgspec.structs.fields(Settings)}
    if sorted(defaults) != sorted(name for names in described for name in names):
        raise ValueError(".env.example and gateway/settings.py do not have the same variables")
    rows = [
        (codes(names), meaning, ", ".join(dict.fromkeys(filter(None, (defaults[name] for name in names)))))
        for names, meaning in described.items()
    ]
    sources = "gateway/settings.py and .env.example"
    return page("Settings", sources, SETTINGS, table(["variable", "meaning", "default"], rows))


def _described(example: str) -> dict[tuple[str, ...], str]:
    """What the comment above one or several variables says about them."""
    described = {}
    for block in example.split("\n\n"):
        names = tuple(re.findall(r"^#?([A-Z_]+)=", block, re.MULTILINE))
        if names:
            said = re.findall(r"^# (.*?)\.?$", block, re.MULTILINE)
            described[names] = "".join(f"{sentence}. " for sentence in said).strip()
    return described


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    return "" if field.default in (None, "") else code(msgspec.json.encode(field.default).decode().strip('"'))


# --- Metrics ----------------------------------------------------------------------------------------------------------

METRICS_PAGE = """
`GET /metrics` of every API process, and of every worker that has a `WORKER_PORT`, in Prometheus' text format; with
`METRICS_TOKEN` set it asks for that token as a bearer token. Names and labels are only added to. What to do with them:
[watch MyPay](../guides/watch.md).
"""
OF_THE_PROCESS = """
Counted by each process since its start: scrape all of them.
"""
OF_THE_DATABASE = """
Told by API processes and by workers that sweep, as PostgreSQL says at most 5 s before; so they are the same wherever
they are read: take `max`. `NaN` where PostgreSQL did not say in time, absent while it is away.
"""


def metrics() -> str:
    """docs/reference/metrics.md."""
    return page(
        "Metrics",
        "gateway/metrics.py",
        METRICS_PAGE,
        "## What a process did",
        OF_THE_PROCESS,
        _metrics("process"),
        "## What the database knows",
        OF_THE_DATABASE,
        _metrics("database"),
    )


def _metrics(per: str) -> str:
    rows = [(code(one.name), one.kind, codes(one.labels), one.help) for one in METRICS.catalogue if one.per == per]
    return table(["metric", "kind", "labels", "meaning"], rows)


# --- Topics -----------------------------------------------------------------------------------------------------------

TOPICS = """
Kafka carries; PostgreSQL remembers. A message of ours only names a row, so an old one is never wrong and a forged one
moves no money. Everything on a topic is there at least once.
"""
PARTITIONS = """
The partition is not left to the client: it is the *logical partition* (0 to 255, the last byte of the payment's id)
modulo the number of partitions. `KAFKA_PREFIX` stands before every name on the broker. Missing topics are created by
whoever meets them. All of them:
"""
MESSAGES = """
JSON. Readers ignore members that they do not know; new members have defaults. Headers say where the record came from,
where that is known: `traceparent` (W3C Trace Context) and `request-id`. Events have a `traceparent` where their payment
is traced.
"""
EVENTS = "CloudEvents 1.0 in binary mode. The value is the event as JSON; these are the headers of an event:"
CONSUMERS = """
A consumer recognises a duplicate by `ce_id`, and orders the events of one object by `ce_sequence`, which has no gap:
[consume events](../guides/consume-events.md). The whole contract, with a schema and an example of every type, is
[asyncapi.yaml](asyncapi.yaml).
"""


def topics() -> str:
    """docs/reference/topics.md."""
    return page(
        "Topics",
        "streams/topics.py, codec.py and events.py",
        TOPICS,
        table(["topic", "key", "value", "read by"], _topics()),
        PARTITIONS,
        codes(topic_names.every_topic()) + ".",
        "## Commands and callbacks",
        MESSAGES,
        table(["message", "member", "when it is there"], [*_members(Command), *_members(CallbackReceived)]),
        "## Events",
        EVENTS,
        table(["header", "value"], _headers()),
        CONSUMERS,
        table(
            ["type", "meaning", "schema"],
            [(code(kind), said.meaning, f"[schema](schemas/{kind}.json)") for kind, said in EVENT_TYPES.items()],
        ),
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
        root_id=UUID("01a2104b-dac7-7bc8-9ff4-8dd9aa7ccacb"),
        object_id=UUID("01a2104b-dac7-7bc8-9ff4-8dd9aa7ccacb"),
        type="payment.succeeded",
        sequence=3,
        body=b"{}",
        created_at=datetime(2026, 11, 25, 1, 22, 16, 708_000, UTC),
    )
    return [(code(name), code((value or b"").decode())) for name, value in message_of(example).headers]
