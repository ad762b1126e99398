"""docs/reference/asyncapi.yaml: every way on which events leave, as AsyncAPI 3.0.

Topics carry CloudEvents in binary mode, webhooks are signed requests, the stream is server-sent events: one table,
`WAYS`, says what is particular to each. The payload is the same everywhere.
"""

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import yaml
from msgspec import Struct

from gateway import ids
from gateway.event_types import EVENT_TYPES
from streams import topics
from streams.events import Event, message_of
from tests.docs.event_examples import AT, EVENT, EXAMPLES
from tests.docs.event_schemas import components

Json = dict[str, Any]

NOTE: Final = "# Written by `make docs` from gateway/event_types.py and streams/. Do not edit.\n"
REF: Final = "#/components/schemas/{name}"

DESCRIPTION: Final = """\
Facts about a merchant's payments, refunds and payouts. Every event reaches every subscriber at least once, with one id,
one body and a number (`sequence`) that grows by one with every event of its object: recognise a duplicate by the id,
and order the events of an object by the number. The body is the same, byte for byte, on every channel and in
`GET /v1/events`. Readers ignore members, event types and values that they do not know: those are added.
"""


class Way(Struct, frozen=True, kw_only=True):
    """One channel: where it is, who sends what on it, and what is around the event."""

    address: str | None
    servers: tuple[str, ...]
    title: str
    description: str
    headers: Json
    bindings: Json
    operation: Json


def _string(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


CLOUD_EVENT: Final[Json] = {
    "type": "object",
    "description": "CloudEvents 1.0, binary mode of its Kafka binding: attributes are headers, in UTF-8.",
    "properties": {
        "content-type": _string("Of the value.", const="application/json"),
        "ce_specversion": _string("Of CloudEvents.", const="1.0"),
        "ce_id": _string("The event's id: the same on a duplicate.", pattern="^evt_"),
        "ce_source": _string("Where events come from.", const="/mypay"),
        "ce_type": _string("The event's type."),
        "ce_subject": _string("The id of the object that it is about."),
        "ce_time": _string("When it happened.", format="date-time"),
        "ce_sequence": _string("Its number among the events of its object, in decimal digits.", pattern="^[0-9]+$"),
    },
}
CLOUD_EVENT["required"] = list(CLOUD_EVENT["properties"])
KEY: Final = _string(
    "The id that orders: of the payment, for payment.* and refund.*; else of the object. Events with one key are in "
    "one partition, in order."
)
SIGNED: Final[Json] = {
    "type": "object",
    "description": "Standard Webhooks 1.0.0.",
    "properties": {
        "content-type": _string("Of the body.", const="application/json"),
        "webhook-id": _string("The event's id: the same in every attempt and replay.", pattern="^evt_"),
        "webhook-timestamp": _string("Seconds since 1970, of this attempt.", pattern="^[0-9]+$"),
        "webhook-signature": _string("`v1,` and HMAC-SHA256 of `id.timestamp.body`, base64; several by spaces."),
    },
    "required": ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"],
}
SERVER_SENT: Final[Json] = {
    "type": "object",
    "description": "The fields of a server-sent event beside `data`.",
    "properties": {"id": _string("The event's id, for Last-Event-ID."), "event": _string("The event's type.")},
    "required": ["id", "event"],
}


def _topic(name: str, mode: str) -> Way:
    return Way(
        address=name,
        servers=("kafka",),
        title=f"{mode} events",
        description=f"All merchants' {mode} events, in order for each key. KAFKA_PREFIX stands before the name.",
        headers=CLOUD_EVENT,
        bindings={"kafka": {"topic": name, "bindingVersion": "0.5.0"}},
        operation={"summary": f"MyPay publishes every {mode} event; a duplicate comes after a crash or `republish`."},
    )


WAYS: Final[dict[str, Way]] = {
    topics.EVENTS_LIVE: _topic(topics.EVENTS_LIVE, "live"),
    topics.EVENTS_TEST: _topic(topics.EVENTS_TEST, "test"),
    "webhooks": Way(
        address=None,
        servers=(),
        title="Webhooks",
        description="Signed requests to the merchant's own address. An attempt that failed comes again, out of order.",
        headers=SIGNED,
        bindings={},
        operation={
            "summary": "MyPay sends the events that an endpoint asks for, until it answers 2xx.",
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        },
    ),
    "stream": Way(
        address="/v1/events/stream",
        servers=("api",),
        title="Stream",
        description="Server-sent events of the key's merchant and mode; Last-Event-ID goes on behind an event.",
        headers=SERVER_SENT,
        bindings={},
        operation={
            "summary": "MyPay sends events as they happen, in order for each object.",
            "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        },
    ),
}


def document() -> Json:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MyPay events",
            "version": version("mypay"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "localhost:9092", "protocol": "kafka", "description": "KAFKA_BOOTSTRAP_SERVERS."},
            "api": {
                "host": "localhost:5000",
                "protocol": "http",
                "description": "PUBLIC_URL, with an API key.",
                "security": [{"$ref": "#/components/securitySchemes/apiKey"}],
            },
        },
        "channels": {name: _channel(name, way) for name, way in WAYS.items()},
        "operations": {_operation_id(name): _operation(name, way) for name, way in WAYS.items()},
        "components": {
            "messages": {kind: _message(kind) for kind in EVENT_TYPES} | _shared_messages(),
            "schemas": components(REF)
            | {"Event": {"oneOf": [{"$ref": REF.format(name=each)} for each in EVENT_TYPES]}},
            "messageTraits": {
                "cloudEvent": {
                    "contentType": "application/json",
                    "headers": CLOUD_EVENT,
                    "bindings": {"kafka": {"key": KEY, "bindingVersion": "0.5.0"}},
                }
            },
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _payloads() -> list[Json]:
    return [{"$ref": REF.format(name=each)} for each in EVENT_TYPES]


def _channel(name: str, way: Way) -> Json:
    return {
        "address": way.address,
        "title": way.title,
        "description": way.description,
        **({"servers": [{"$ref": f"#/servers/{each}"} for each in way.servers]} if way.servers else {}),
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in _messages(name)},
        **({"bindings": way.bindings} if way.bindings else {}),
    }


def _messages(way: str) -> list[str]:
    return list(EVENT_TYPES) if WAYS[way].headers is CLOUD_EVENT else [way]


def _operation_id(way: str) -> str:
    return "send." + way


def _operation(name: str, way: Way) -> Json:
    return {"action": "send", "channel": {"$ref": f"#/channels/{name.replace('/', '~1')}"}, **way.operation}


def _message(kind: str) -> Json:
    """An event on a topic."""
    return {
        "name": kind,
        "title": kind,
        "summary": EVENT_TYPES[kind].meaning,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": REF.format(name=kind)},
        "examples": [{"name": kind, "headers": _cloud_headers(kind), "payload": EXAMPLES[kind]}],
    }


def _shared_messages() -> Json:
    """An event, whatever it is, where it is no record of Kafka."""
    kind = "payment.succeeded"
    headers = {
        "webhooks": {
            "content-type": "application/json",
            "webhook-id": ids.show(ids.EVENT, EVENT),
            "webhook-timestamp": str(int(AT.timestamp())),
            "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        },
        "stream": {"id": ids.show(ids.EVENT, EVENT), "event": kind},
    }
    return {
        name: {
            "name": name,
            "title": WAYS[name].title,
            "contentType": "application/json",
            "headers": WAYS[name].headers,
            "payload": {"$ref": REF.format(name="Event")},
            "examples": [{"name": kind, "headers": example, "payload": EXAMPLES[kind]}],
        }
        for name, example in headers.items()
    }


def _cloud_headers(kind: str) -> dict[str, str]:
    shown = EXAMPLES[kind]
    about = ids.read_any((*ids.SUBJECTS, ids.REFUND), shown["data"]["object"]["id"])
    assert about is not None
    event = Event(
        position=1,
        id=EVENT,
        livemode=False,
        root_id=about,
        object_id=about,
        type=kind,
        sequence=shown["sequence"],
        body=b"{}",
        created_at=datetime.fromisoformat(shown["timestamp"]).astimezone(UTC),
    )
    return {name: (value or b"").decode() for name, value in message_of(event).headers}


class _Plain(yaml.SafeDumper):
    """Without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def asyncapi() -> str:
    """docs/reference/asyncapi.yaml."""
    return NOTE + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
