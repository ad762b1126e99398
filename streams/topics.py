"""The topics: what travels on them, and under which key.

| topic | key | value | read by |
|---|---|---|---|
| `payments.commands.<provider>` | payment id | `Command` | executor |
| `callbacks.<provider>` | callback id | `CallbackReceived` | callbacks |
| `payments.events`, `payments.events.test` | root id | the event's bytes (CloudEvents binary mode) | anybody |
| `<topic>.dlq` | as it was | as it was, with `dlq_*` headers | people |

The partition is chosen by us: the logical partition of the payment, modulo the topic's partitions.

Everywhere in the code a topic or a consumer group has its plain name. On the broker KAFKA_PREFIX stands before it:
`physical` and `logical` translate, and only the broker, the publisher and `create_topics` call them.
"""

from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code  # type: ignore[import-untyped]

from gateway.settings import Settings
from providers.registry import PROVIDERS
from streams.access import access

EVENTS_LIVE: Final = "payments.events"
EVENTS_TEST: Final = "payments.events.test"

_ADMIN_TIMEOUT_MS: Final = 10_000
_DEAD_SUFFIX: Final = ".dlq"
_DEAD_RETENTION_MS: Final = 30 * 24 * 3600 * 1000  # people look at dead letters later than consumers read topics


def commands(provider: str) -> str:
    """Where a provider's commands travel."""
    return f"payments.commands.{provider}"


def callbacks(provider: str) -> str:
    """Where a provider's stored callbacks are announced."""
    return f"callbacks.{provider}"


def dead(topic: str) -> str:
    """Where a topic's dead letters are copied."""
    return topic + _DEAD_SUFFIX


def events(livemode: bool) -> str:
    """The topic of live or of test events."""
    return EVENTS_LIVE if livemode else EVENTS_TEST


def every_topic() -> list[str]:
    """All topics of an installation, dead-letter topics included."""
    consumed = [topic(name) for name in sorted(PROVIDERS) for topic in (commands, callbacks)]
    return [EVENTS_LIVE, EVENTS_TEST, *consumed, *map(dead, consumed)]


def physical(settings: Settings, name: str) -> str:
    """The name that a topic or a consumer group has on the broker."""
    return settings.kafka_prefix + name


def logical(settings: Settings, name: str) -> str:
    """The plain name of a topic, from the one on the broker."""
    return name.removeprefix(settings.kafka_prefix)


async def create_topics(settings: Settings, names: Sequence[str] | None = None) -> None:
    """Create the topics (default: all) that are missing; those that exist stay as they are.

    Raises aiokafka's `KafkaError` when the cluster cannot be reached or refuses.
    """
    admin = AIOKafkaAdminClient(**access(settings), request_timeout_ms=_ADMIN_TIMEOUT_MS)
    try:
        await admin.start()
        answer = await admin.create_topics([_new_topic(settings, name) for name in names or every_topic()])
    finally:
        await admin.close()
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error not in (NoError, TopicAlreadyExistsError):
            raise KafkaError(f"topic {name} could not be created: {error.__name__}")


def _new_topic(settings: Settings, name: str) -> NewTopic:
    kept = {"retention.ms": str(_DEAD_RETENTION_MS)} if name.endswith(_DEAD_SUFFIX) else {}
    return NewTopic(
        name=physical(settings, name),
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication,
        topic_configs=kept,
    )
