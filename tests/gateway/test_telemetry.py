"""Origins that travel with work, and spans where nothing is traced."""

import subprocess
import sys

import pytest

from gateway import telemetry
from gateway.telemetry import NOWHERE, Origin

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_origin_is_read_back() -> None:
    origin = Origin(TRACEPARENT, "req_1")
    assert telemetry.from_headers(telemetry.to_headers(origin)) == origin
    assert telemetry.to_headers(NOWHERE) == ()
    assert telemetry.from_headers([("content-type", b"application/json"), ("null", None)]) is NOWHERE


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        None,
        b"00-1-2-00",
        b"ff" + TRACEPARENT[2:].encode(),
        TRACEPARENT.encode() + b"\n",
        b"\xff\xfe",
        b"0" * 99999,
    ],
)
def test_what_anybody_writes_to_a_topic_is_not_believed(bad: bytes | None) -> None:
    found = telemetry.from_headers([("traceparent", bad), ("request-id", b'x"\n{}')])
    assert found == NOWHERE


def test_without_an_endpoint_a_span_is_nothing_and_passes_the_origin_on() -> None:
    assert telemetry.start("", "mypay") is None
    assert not telemetry.is_on()
    with (
        telemetry.carrying(Origin(TRACEPARENT)),
        telemetry.span("a", "server") as one,
        telemetry.span("b", "client") as two,
    ):
        one.set({"x": 1})
        assert one is two
        assert telemetry.origin().traceparent == TRACEPARENT
    assert telemetry.origin() is NOWHERE


def test_without_an_endpoint_no_exporter_is_imported() -> None:
    program = "import sys, gateway.app, streams.app; sys.exit('opentelemetry.exporter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
