"""Where work came from, and traces of it: OpenTelemetry where OTEL_EXPORTER_OTLP_ENDPOINT is set.

An `Origin` is what goes along with work from hop to hop: W3C Trace Context, and the id of the request that caused it.
It is carried in a context variable within a task, in headers through Kafka, and in rows where a hop is by row. That is
all there is without the setting: no exporter is loaded then, and `span` costs a function call.

Spans say which payment, which provider, how long, and what came of it. No attribute holds a secret, a phone, a path, a
body or an exception's words.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

Kind: TypeAlias = Literal["server", "client", "producer", "consumer"]
Value: TypeAlias = str | int | bool
Attributes: TypeAlias = Mapping[str, Value | None]

NONE: Final[Attributes] = {}

EXPORT_TIMEOUT_S: Final = 5.0
TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Origin(Struct, frozen=True):
    """Where work came from: W3C Trace Context of the innermost span, and the id of the request, where known."""

    traceparent: str | None = None
    request_id: str | None = None


NOWHERE: Final = Origin()
_ORIGIN: Final[ContextVar[Origin]] = ContextVar("origin", default=NOWHERE)


def origin() -> Origin:
    """Where the work of this task came from."""
    return _ORIGIN.get()


def set_origin(found: Origin) -> None:
    """From here on this task's work came from there. For tasks that serve one request or one record."""
    _ORIGIN.set(found)


@contextlib.contextmanager
def carrying(found: Origin) -> Iterator[None]:
    """Within the block, work came from there."""
    token = _ORIGIN.set(found)
    try:
        yield
    finally:
        _ORIGIN.reset(token)


def to_headers(found: Origin) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record that bring it to the consumer."""
    if found is NOWHERE:
        return ()
    named = (("traceparent", found.traceparent), ("request-id", found.request_id))
    return tuple((name, value.encode()) for name, value in named if value is not None)


def from_headers(headers: Sequence[tuple[str, bytes | None]]) -> Origin:
    """What a record brings; anything that is not well formed is left out: anybody may write to a topic."""
    found = {name: (value or b"").decode("ascii", "replace") for name, value in headers}
    traceparent, request_id = found.get("traceparent", ""), found.get("request-id", "")
    if not traceparent and not request_id:
        return NOWHERE
    return Origin(
        traceparent if TRACEPARENT.fullmatch(traceparent) else None,
        request_id if REQUEST_ID.fullmatch(request_id) else None,
    )


# --- Spans ------------------------------------------------------------------------------------------------------------


class Tracing:
    """The exporter of this process. Use `start`."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self.tracer: Tracer = provider.get_tracer("mypay")

    def stop(self) -> None:
        """Export what is left, for some seconds at most, and trace no more. Blocks."""
        global _tracing
        _tracing = None
        self._provider.shutdown()


_tracing: Tracing | None = None


def is_on() -> bool:
    """Whether spans are recorded."""
    return _tracing is not None


def start(endpoint: str, service: str) -> Tracing | None:
    """Begin to trace, and to export to the collector at `endpoint` (OTLP over HTTP); nothing where it is empty."""
    global _tracing
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracing = Tracing(provider)
    return _tracing


class Nothing:
    """A span where nothing is recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def set(self, attributes: Attributes) -> None:
        """Add attributes; None is none."""

    def rename(self, name: str) -> None:
        """Give it its final name."""

    def fail(self, reason: str) -> None:
        """It ended badly; `reason` is a word of ours."""


class Recorded(Nothing):
    """A span that is recorded: the parent of what begins within its block."""

    def __init__(self, span: "Span", was: Origin) -> None:
        self._span, self._was = span, was
        self._token: Token[Origin] | None = None

    def __enter__(self) -> Self:
        context = self._span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        self._token = _ORIGIN.set(Origin(traceparent, self._was.request_id))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _ORIGIN.reset(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self._span.end()

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(_named(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, reason))


_NOTHING: Final = Nothing()


def span(
    name: str,
    kind: Kind,
    *,
    parent: str | None = None,
    link: str | None = None,
    began: float | None = None,
    attributes: Attributes = NONE,
) -> Nothing:
    """A span, to be used as a block; `parent` (default: the innermost span) and `link` are W3C Trace Context.

    `began` is `time.monotonic()` of its begin, where that was earlier.
    """
    if _tracing is None:
        return _NOTHING
    was = _ORIGIN.get()
    return Recorded(_begin(_tracing.tracer, name, kind, parent or was.traceparent, link, began, attributes), was)


def ended(
    name: str,
    kind: Kind,
    *,
    began: float,
    parent: str | None = None,
    failure: str | None = None,
    attributes: Attributes = NONE,
) -> None:
    """Record a span that is over: it began at `began` (monotonic) and ends now."""
    with span(name, kind, began=began, parent=parent, attributes=attributes) as recorded:
        if failure is not None:
            recorded.fail(failure)


def _begin(
    tracer: "Tracer",
    name: str,
    kind: Kind,
    parent: str | None,
    link: str | None,
    began: float | None,
    attributes: Attributes,
) -> "Span":
    from opentelemetry.trace import Link, SpanKind, get_current_span

    linked = [] if link is None else [Link(get_current_span(_context(link)).get_span_context())]
    return tracer.start_span(
        name,
        context=_context(parent),
        kind=SpanKind[kind.upper()],
        attributes=_named(attributes),
        links=linked,
        start_time=None if began is None else time.time_ns() - round((time.monotonic() - began) * 1e9),
    )


def _context(traceparent: str | None) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {} if traceparent is None else {"traceparent": traceparent}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def _named(attributes: Attributes) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
