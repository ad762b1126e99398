"""Bad bodies over a real socket: exact status, code and pointer, and never a 5xx."""

import gzip
import json
from pathlib import Path

import pytest

from tests.http.wire import Wire, request

GOOD = {"amount": 1500, "currency": "LSL", "method": {"type": "card", "token": "tok_ok"}}
OPEN = json.dumps(GOOD)[:-1].encode()
DIGITS = b"9" * 23


def with_member(member: bytes) -> bytes:
    """A good body with one more member, written as it is."""
    return OPEN + b"," + member + b"}"


def with_amount(text: bytes) -> bytes:
    """A good body with this amount."""
    return b'{"amount":' + text + b',"currency":"LSL","method":{"type":"card","token":"t"}}'


def nested(depth: int) -> bytes:
    """A body whose innermost container is `depth` levels deep."""
    return b'{"value":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b'{"amount":1,"currency":"\xff"}', "invalid_json", id="invalid UTF-8"),
        pytest.param(b'{"amount":1,"currency":"\xed\xa0\x80"}', "invalid_json", id="surrogate in UTF-8"),
        pytest.param(b'{"amount":1,"currency":"\xc0\xaf"}', "invalid_json", id="overlong UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + OPEN + b"}", "invalid_json", id="byte order mark"),
        pytest.param(OPEN.decode().encode("utf-16"), "invalid_json", id="UTF-16"),
        pytest.param(b"[" * 20_000, "invalid_json", id="20 000 open brackets"),
        pytest.param(b"[" * 20_000 + b"]" * 20_000, "invalid_json", id="20 000 levels"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "invalid_json", id="10 000 objects"),
        pytest.param(with_amount(b"NaN"), "invalid_json", id="NaN"),
        pytest.param(with_amount(b"Infinity"), "invalid_json", id="Infinity"),
        pytest.param(with_amount(b"-Infinity"), "invalid_json", id="-Infinity"),
        pytest.param(with_amount(b"01"), "invalid_json", id="leading zero"),
        pytest.param(with_amount(b"+1"), "invalid_json", id="plus sign"),
        pytest.param(with_amount(b"0x10"), "invalid_json", id="hexadecimal"),
        pytest.param(with_amount(b"9" * 5000), "invalid_json", id="5 000 digits"),
        pytest.param(OPEN + b"}{}", "invalid_json", id="two values"),
        pytest.param(OPEN + b"}x", "invalid_json", id="trailing garbage"),
        pytest.param(OPEN + b",}", "invalid_json", id="trailing comma"),
        pytest.param(OPEN, "invalid_json", id="cut off"),
        pytest.param(OPEN + b"}\x00", "invalid_json", id="NUL after the end"),
        pytest.param(with_member(b'"description":"a\x00b"'), "invalid_json", id="raw NUL"),
        pytest.param(with_member(b'"description":"a\nb"'), "invalid_json", id="raw line end"),
        pytest.param(b"{'amount':1}", "invalid_json", id="single quotes"),
        pytest.param(b" ", "invalid_json", id="only space"),
    ],
)
def test_what_is_no_json(wire: Wire, body: bytes, code: str) -> None:
    answer = wire.post(body)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (b"", "/amount", "required"),
        (b"{}", "/amount", "required"),
        (b"null", "", "wrong_type"),
        (b"[]", "", "wrong_type"),
        (b'"x"', "", "wrong_type"),
        (b"12", "", "wrong_type"),
        (with_amount(b"0"), "/amount", "out_of_range"),
        (with_amount(b"-0"), "/amount", "out_of_range"),
        (with_amount(b"-1"), "/amount", "out_of_range"),
        (with_amount(b"1000000000000001"), "/amount", "out_of_range"),
        (with_amount(b"9223372036854775808"), "/amount", "out_of_range"),
        (with_amount(DIGITS), "/amount", "out_of_range"),
        (with_amount(b"1.0"), "/amount", "wrong_type"),
        (with_amount(b"1e3"), "/amount", "wrong_type"),
        (with_amount(b"1e400"), "/amount", "wrong_type"),
        (with_amount(b'"1"'), "/amount", "wrong_type"),
        (with_amount(b"true"), "/amount", "wrong_type"),
        (with_amount(b"null"), "/amount", "wrong_type"),
        (with_amount(b"[1]"), "/amount", "wrong_type"),
        (with_member(b'"amount":2'), "/amount", "duplicate"),
        (with_member(b'"am\\u006funt":2'), "/amount", "duplicate"),
        (with_member(b'"amount":1500'), "/amount", "duplicate"),
        (with_member(b'"metadata":{"a":"1","a":"2"}'), "/metadata/a", "duplicate"),
        (with_member(b'"metadata":{"~":[{},{"/":1,"/":1}]}'), "/metadata/~0/1/~1", "duplicate"),
        (with_member(b'"status":"succeeded"'), "/status", "unknown_field"),
        (with_member(b'"merchant_id":"mer_1"'), "/merchant_id", "unknown_field"),
        (with_member(b'"__proto__":{}'), "/__proto__", "unknown_field"),
        (with_member(b'"id":"pay_1"'), "/id", "unknown_field"),
        (with_member(b'"livemode":true'), "/livemode", "unknown_field"),
        (with_member(b'"customer":{"phone":"1"}'), "/customer/phone", "unknown_field"),
        (with_member(b'"customer":{"name":1}'), "/customer/name", "wrong_type"),
        (with_member(b'"capture":"later"'), "/capture", "invalid"),
        (with_member(b'"expires_in":59'), "/expires_in", "out_of_range"),
        (with_member(b'"reference":"' + b"x" * 101 + b'"'), "/reference", "too_long"),
        (with_member(b'"metadata":{"k":1}'), "/metadata/k", "wrong_type"),
        (with_member(b'"metadata":{"ok":"","a/b":"' + b"x" * 501 + b'"}'), "/metadata/a~1b", "too_long"),
        (with_member(b'"metadata":{"ok":"","":"x"}'), "/metadata/", "too_short"),
        (with_member(b'"metadata":{"ok":"","no":1},"more":1'), "/metadata/no", "wrong_type"),
        (with_member(b'"metadata":{"ok":"","' + b"k" * 41 + b'":"x"}'), "/metadata/" + "k" * 41, "too_long"),
        (with_member(b'"description":"\\u0000"'), "/description", "invalid"),
        (with_member(b'"metadata":{"k":"a\\u0000b"}'), "/metadata/k", "invalid"),
        (with_member(b'"metadata":{"a\\u0000b":"v"}'), "/metadata", "invalid"),
        (with_member(b'"description":"\\ud800"'), "/description", "invalid"),
        (with_member(b'"description":"\\udc00\\ud800"'), "/description", "invalid"),
        (with_member(b'"metadata":{"\\ud800":"v"}'), "/metadata", "invalid"),
        (with_member(b'"metadata":{"\\ud800":"v","\\ud800":"v"}'), "/metadata", "invalid"),
        (b'{"amount":1,"currency":"usd","method":{"type":"card","token":"t"}}', "/currency", "invalid"),
        (b'{"amount":1,"currency":"U\xd0\x85D","method":{"type":"card","token":"t"}}', "/currency", "invalid"),
        (b'{"amount":1,"currency":"LSL","method":{"type":"cash"}}', "/method/type", "invalid"),
        (b'{"amount":1,"currency":"LSL","method":{}}', "/method/type", "required"),
        (b'{"amount":1,"currency":"LSL","method":{"type":"card"}}', "/method/token", "required"),
        (b'{"amount":1,"currency":"LSL","method":"card"}', "/method", "wrong_type"),
    ],
)
def test_what_can_be_pointed_at(wire: Wire, body: bytes, pointer: str, code: str) -> None:
    answer = wire.post(body)
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", (pointer, code))


@pytest.mark.parametrize(
    "name", ["x` - at `$.amount", "x` - at `$.nope.deep[3]", "` - at `key` in `$.method", "\r\nX: 1"]
)
def test_a_member_whose_name_imitates_a_message_is_only_unknown(wire: Wire, name: str) -> None:
    answer = wire.post(json.dumps({**GOOD, name: 1}).encode())
    assert (answer.status, answer.code, answer.error[1]) == (400, "invalid_request", "unknown_field")


def test_the_largest_amount_is_accepted(wire: Wire) -> None:
    assert wire.post(with_amount(b"1000000000000000")).status == 201


@pytest.mark.parametrize(("depth", "status"), [(31, 200), (32, 200), (33, 400), (900, 400)])
def test_depth(wire: Wire, depth: int, status: int) -> None:
    answer = wire.post(nested(depth), "/v1/free")
    assert answer.status == status
    if status == 400:
        assert answer.code == "invalid_json"


@pytest.mark.parametrize(
    "text",
    [
        "\u202egnirts",
        "😀 e\u0301 \u2028",
        "<script>alert(1)</script>",
        "'; drop table payments; --",
        "a\r\nERROR x: 1",
        "\x7f\t",
    ],
)
def test_any_other_text_is_kept_as_it_is(wire: Wire, text: str) -> None:
    for ensure_ascii in (True, False):
        body = json.dumps({**GOOD, "description": text, "metadata": {text: text}}, ensure_ascii=ensure_ascii)
        answer = wire.post(body.encode())
        assert (answer.status, answer.json["body"]["description"]) == (201, text)
        assert answer.json["body"]["metadata"] == {text: text}


@pytest.mark.parametrize("body", [b"", b"{}", b' { "note" : null } '])
def test_a_body_that_is_not_needed_may_be_empty(wire: Wire, body: bytes) -> None:
    assert wire.post(body, "/v1/payments/pay_1/verify").status == 200


def test_no_body_needs_no_content_type(wire: Wire) -> None:
    empty = wire.ask("POST", "/v1/payments/pay_1/verify")
    assert (empty.status, empty.json["body"]) == (200, {})
    assert empty.json["fingerprint"] == wire.post(b"{}", "/v1/payments/pay_1/verify").json["fingerprint"]


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
def test_json_is_declared_in_several_ways(wire: Wire, media: str) -> None:
    assert wire.post(OPEN + b"}", media=media).status == 201


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Content-Type", "")],
        [("Content-Type", "text/plain")],
        [("Content-Type", "application/json; charset=utf-16")],
        [("Content-Type", "application/json; charset=latin-1")],
        [("Content-Type", "application/jsonp")],
        [("Content-Type", "multipart/form-data; boundary=x")],
        [("Content-Type", "application/x-www-form-urlencoded")],
        [("Content-Type", "application/json"), ("Content-Type", "application/json")],
        [("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
        [("Content-Type", "application/json"), ("Content-Encoding", "identity, br")],
    ],
)
def test_anything_else_is_415(wire: Wire, headers: list[tuple[str, str]]) -> None:
    answer = wire.ask("POST", "/v1/payments", OPEN + b"}", [*headers, ("Idempotency-Key", "k")])
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_identity_is_no_encoding(wire: Wire) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "identity"), ("Idempotency-Key", "k")]
    assert wire.ask("POST", "/v1/payments", OPEN + b"}", headers).status == 201


# --- Sizes and lies ---------------------------------------------------------------------------------------------------

LIMIT = 64 * 1024
HEAD = b"POST /v1/payments HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"


def filled(size: int) -> bytes:
    """A body of exactly this size, its tail spaces."""
    return (OPEN + b"}").ljust(size)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_the_limit_is_exact(wire: Wire) -> None:
    assert wire.post(filled(LIMIT)).status == 201
    answer = wire.post(filled(LIMIT + 1))
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_the_limit_holds_for_chunks(wire: Wire) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    halves = [filled(LIMIT)[:40_000], filled(LIMIT)[40_000:]]
    assert wire.raw(head, *map(chunk, halves), b"0\r\n\r\n").status == 201
    answer = wire.raw(head, *map(chunk, halves), chunk(b" "), b"0\r\n\r\n")
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_the_limit_is_the_routes(wire: Wire) -> None:
    assert wire.post(b"x" * 1024 * 1024, "/callbacks/token").json == {"bytes": 1024 * 1024}
    assert (
        wire.raw(request("POST", "/callbacks/token", headers=[("Content-Length", "1048577")])).code == "body_too_large"
    )


def test_a_large_announcement_is_refused_before_the_body_comes(wire: Wire) -> None:
    answer = wire.raw(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_a_body_shorter_than_announced(wire: Wire) -> None:
    answer = wire.raw(HEAD + b"Content-Length: 500\r\n\r\n" + OPEN + b"}", end=True)
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_a_body_longer_than_announced_is_cut(wire: Wire) -> None:
    answer = wire.raw(HEAD + b"Content-Length: 20\r\n\r\n" + OPEN + b"}")
    assert (answer.status, answer.code) == (400, "invalid_json")


@pytest.mark.parametrize("drip", [b"5\r\n", b"5\r\nab", b"2\r\n{ \r\n"])
def test_a_body_that_never_ends(wire: Wire, drip: bytes) -> None:
    answer = wire.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + drip)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "did not arrive" in answer.json["detail"]


def test_a_chunk_that_is_no_chunk(wire: Wire) -> None:
    answer = wire.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}")
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_neither_a_bomb_nor_a_flood_costs_memory(wire: Wire) -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    before = resident_kb(wire.pid)
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("Idempotency-Key", "k")]
    for _ in range(20):
        assert wire.ask("POST", "/v1/payments", bomb, headers).status == 415
    for _ in range(5):
        flood(wire, 50_000_000)
    assert resident_kb(wire.pid) - before < 20_000


def flood(wire: Wire, size: int) -> None:
    """Send chunks until the server hangs up; it answers 413 after the first 64 KiB."""
    with wire.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(size // 65_536):
                connection.sendall(chunk(b" " * 65_536))
        except OSError:
            return
    raise AssertionError("the server went on reading")


def resident_kb(pid: int) -> int:
    """Memory of a server and its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_resident_kb(each) for each in [str(pid), *children])


def _resident_kb(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_the_connection_stays_usable(wire: Wire) -> None:
    """The body is not read to the server's last message; the next request on the connection must not notice."""
    one = request("POST", "/v1/payments", OPEN + b"}", [("Content-Type", "application/json"), ("Idempotency-Key", "k")])
    with wire.connect() as connection:
        for _ in range(3):
            connection.sendall(one)
            assert b"201" in connection.recv(65_536)
