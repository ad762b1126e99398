"""Every error leaves as a problem, and every code has its page."""

import socket
from collections.abc import Callable

import pytest

from gateway.payments.errors import PROBLEMS, Code
from tests.http.test_strict_bodies import OPEN
from tests.http.wire import Wire, read, request

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


@pytest.mark.parametrize("code", [code for code in PROBLEMS if code != "internal_error"])
def test_every_code(wire: Wire, code: Code) -> None:
    kind = PROBLEMS[code]
    answer = wire.ask("GET", f"/v1/problem/{code}")
    assert (answer.status, answer.code) == (kind.status, code)
    assert (answer.json["title"], answer.json["detail"]) == (kind.title, kind.meaning)
    assert answer.headers["content-language"] == "en"
    assert answer.headers.get("retry-after") == (str(kind.retry_after_s) if kind.retry_after_s else None)
    assert answer.json.get("retry_after") == kind.retry_after_s
    assert answer.headers.get("www-authenticate") == ("Bearer" if kind.status == 401 else None)
    assert set(answer.json) - MEMBERS <= {"retry_after"}


def test_what_must_be_retried_says_when() -> None:
    waiting = {code for code, kind in PROBLEMS.items() if kind.retry_after_s}
    assert waiting == {"idempotency_key_in_progress", "rate_limited", "unavailable", "accept_unknown"}
    assert {code for code, kind in PROBLEMS.items() if kind.status in (429, 503)} <= waiting


def test_a_bug_shows_nothing_of_itself(wire: Wire) -> None:
    answer = wire.ask("GET", "/v1/fail/bug")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"secret" not in answer.body
    assert b"ValueError" not in answer.body


@pytest.mark.parametrize(
    ("method", "kind", "status", "code"),
    [
        ("GET", "unicode", 400, "invalid_request"),
        ("POST", "recursion", 400, "invalid_request"),
        ("GET", "connection", 503, "unavailable"),
        ("GET", "starting", 503, "unavailable"),
        ("GET", "timeout", 503, "unavailable"),
        ("POST", "connection", 503, "accept_unknown"),
        ("POST", "timeout", 503, "accept_unknown"),
    ],
)
def test_known_exceptions(wire: Wire, method: str, kind: str, status: int, code: str) -> None:
    answer = wire.ask(method, f"/v1/fail/{kind}")
    assert (answer.status, answer.code) == (status, code)


def test_no_route_tells_the_reason_of_each_account(wire: Wire) -> None:
    answer = wire.ask("GET", "/v1/fail/no_route")
    assert (answer.status, answer.code) == (422, "no_route")
    assert answer.json["accounts"] == [{"account": "acc_1", "reason": "currency"}]


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1/payments/x/y/z", "/v1/payments/%00/x", "/%ff", "/../etc", "//", "/v1/fail"]
)
def test_unknown_paths(wire: Wire, path: str) -> None:
    answer = wire.ask("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "HEAD", "TRACE", "FOO", "get"])
def test_unknown_methods(wire: Wire, method: str) -> None:
    answer = wire.ask(method, "/v1/payments", headers=[("X-HTTP-Method-Override", "GET")])
    assert answer.status == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    if method != "HEAD":
        assert answer.code == "method_not_allowed"


def test_litestars_own_validation_is_pointed(wire: Wire) -> None:
    answer = wire.ask("GET", "/v1/context?number=x")
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", ("/number", "invalid"))


@pytest.mark.parametrize("host", ["a b/c", "<script>", 'x"y'])
def test_an_odd_host(wire: Wire, host: str) -> None:
    answer = wire.raw(f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_no_host(wire: Wire) -> None:
    assert wire.raw(b"GET /health/live HTTP/1.1\r\n\r\n").status == 200


def test_many_and_long_headers(wire: Wire) -> None:
    assert wire.ask("GET", "/health/live", headers=[("X", "a" * 10_000)]).status == 200
    assert wire.ask("GET", "/health/live", headers=[(f"X{n}", "1") for n in range(90)]).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (request("GET", "/", headers=[(f"X{n}", "1") for n in range(200)]), 431),
        (request("GET", "/", headers=[("X", "a" * 900_000)]), 431),
        (request("GET", "/" + "a" * 70_000), 414),
    ],
)
def test_what_the_server_answers_itself(wire: Wire, sent: bytes, status: int) -> None:
    """The written exceptions to "every error is a problem": no request of ours was ever begun."""
    answer = wire.raw(sent)
    assert (answer.status, answer.body, answer.headers["connection"]) == (status, b"", "close")


@pytest.mark.parametrize("order", [0, 1])
def test_no_request_is_smuggled(wire: Wire, order: int) -> None:
    """Both lengths given (RFC 9112 §6.3): the rest must never be taken for a request."""
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n"
    lengths = [b"Content-Length: %d\r\n" % (5 + len(smuggled)), b"Transfer-Encoding: chunked\r\n"]
    head = b"POST /callbacks/t HTTP/1.1\r\nHost: h\r\n" + lengths[order] + lengths[1 - order]
    with wire.connect() as connection:
        connection.sendall(head + b"\r\n0\r\n\r\n" + smuggled)
        assert read(connection).status in (200, 400)
        connection.settimeout(1)
        try:
            assert connection.recv(1) == b""
        except ConnectionError:
            pass
        except TimeoutError:
            pytest.fail("the connection stays open after an ambiguous length")


@pytest.mark.parametrize("code", list(PROBLEMS))
def test_every_code_has_a_page(wire: Wire, code: Code) -> None:
    page = wire.ask("GET", f"/errors/{code}", headers=[("Accept", "text/html,*/*;q=0.8")])
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert code in page.body.decode()
    entry = wire.ask("GET", f"/errors/{code}", headers=[("Accept", "application/json")])
    assert entry.headers["content-type"] == "application/json"
    assert entry.json["code"] == code
    assert entry.json["advice"] == PROBLEMS[code].advice


def test_an_unknown_code_has_none(wire: Wire) -> None:
    assert wire.ask("GET", "/errors/%3Cscript%3E").code == "not_found"


def test_the_order_of_checks(wire: Wire) -> None:
    """Size before media type before key is for the handler; a missing key is told before a bad body."""
    answer = wire.ask("POST", "/v1/payments", OPEN, [("Content-Type", "application/json")])
    assert answer.code == "idempotency_key_missing"


def test_a_client_that_leaves_harms_nobody(wire: Wire, start: Callable[..., Wire]) -> None:
    for cut in (5, 60, 150):
        with wire.connect() as connection:
            connection.sendall(request("POST", "/v1/payments", OPEN + b"}", [("Idempotency-Key", "k")])[:cut])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert wire.ask("GET", "/health/live").status == 200
