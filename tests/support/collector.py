"""A collector of traces on a real socket, in a thread: OTLP over HTTP, protobuf (opentelemetry.io, OTLP 1.x)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Seen(Struct, frozen=True, kw_only=True):
    """A span as it was exported; ids in hex, "" where there is none."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]  # the traces
    attributes: dict[str, Any]
    failed: bool
    seconds: float


class Collector:
    """What was exported so far, and where to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Seen] = []

    def of(self, trace: str) -> dict[str, Seen]:
        """The spans of a trace by name."""
        return {each.name: each for each in self.spans if each.trace == trace}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                made.spans.extend(_read(body))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _read(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name,
                    kind=span.kind,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    links=tuple(link.trace_id.hex() for link in span.links),
                    attributes={
                        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes
                    },
                    failed=span.status.code == 2,
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                )
