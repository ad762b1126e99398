"""One line per request, in JSON, and no secret in it."""

import json
import time
from pathlib import Path
from typing import Any

from tests.http.test_strict_bodies import OPEN
from tests.http.wire import Wire

PATIENCE_S = 2.0


def lines(log_file: Path, request_id: str) -> list[dict[str, Any]]:
    """What was logged under a request id, once its access line is there."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        every = [json.loads(line) for line in log_file.read_text().splitlines()]
        found = [line for line in every if line.get("request_id") == request_id]
        if any(line["event"] == "request" for line in found):
            return found
        time.sleep(0.01)
    raise AssertionError("no line")


def test_a_line_says_what_happened(wire: Wire, log_file: Path) -> None:
    answer = wire.ask("GET", "/v1/payments?limit=0")
    (line,) = lines(log_file, answer.headers["request-id"])
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/payments", 400)
    assert (line["code"], line["level"], line["logger"]) == ("invalid_request", "info", "gateway.http")
    assert 0 < line["ms"] < 5000
    assert line["timestamp"].endswith("Z")


def test_the_merchant_is_named(wire: Wire, api_key: str, log_file: Path) -> None:
    answer = wire.ask("GET", "/v1/whoami", headers=[("X-API-Key", api_key)])
    (line,) = lines(log_file, answer.headers["request-id"])
    assert line["merchant"] == "mer_" + "0" * 26


def test_the_token_of_a_callback_is_in_no_line(wire: Wire, log_file: Path) -> None:
    answer = wire.post(b"{}", "/callbacks/very-secret-token")
    (line,) = lines(log_file, answer.headers["request-id"])
    assert line["route"] == "/callbacks/{token}"
    assert "very-secret-token" not in log_file.read_text()


def test_unknown_paths_are_not_repeated(wire: Wire, log_file: Path) -> None:
    answer = wire.ask("GET", "/some-secret/4111111111111111")
    (line,) = lines(log_file, answer.headers["request-id"])
    assert (line["route"], line["status"]) == ("-", 404)
    assert "some-secret" not in log_file.read_text()


def test_no_text_of_a_client_starts_a_line(wire: Wire, log_file: Path) -> None:
    body = json.dumps({"amount": 1, "\r\nERROR forged": 1}).encode()
    answer = wire.post(body)
    assert len(lines(log_file, answer.headers["request-id"])) == 1
    assert "forged" not in log_file.read_text()
    assert wire.post(OPEN + b"}").status == 201


def test_a_bug_leaves_its_stack_under_the_request_id(wire: Wire, log_file: Path) -> None:
    answer = wire.ask("GET", "/v1/fail/bug")
    failed, line = lines(log_file, answer.headers["request-id"])
    assert (failed["event"], failed["level"], failed["code"]) == ("request.failed", "error", "internal_error")
    assert "the secret is 42" in json.dumps(failed)
    assert (line["event"], line["status"]) == ("request", 500)
