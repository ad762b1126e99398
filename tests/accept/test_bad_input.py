"""Bad requests to the real POST /v1/payments: exact answers, nothing written, and neighbours that notice nothing.

How bodies are read is tested in tests/http; numbers are the groups of the reliability document's list of bad inputs.
"""

import gzip
import uuid

import pytest

from tests.accept.answers import answered, decoded, flood
from tests.accept.bad_bodies import BODIES, CARD, OPEN
from tests.accept.twins import BODY, Api, Merchant, Twins
from tests.http.wire import Answer

pytestmark = pytest.mark.xdist_group("twins")


@pytest.fixture(scope="module")
def bad(twins: Twins) -> Merchant:
    """Who sends what is refused: nothing of his is ever written."""
    return twins.new_merchant()


@pytest.fixture(scope="module")
def good(twins: Twins) -> Merchant:
    """Who sends good requests at the same time."""
    return twins.new_merchant()


def among_neighbours(twins: Twins, bad: Merchant, good: Merchant, request: bytes) -> Answer:
    """The answer to a bad request that is sent between two good ones, which are both accepted."""
    client, neighbour = twins.first(bad), twins.first(good)
    sent = [(neighbour, neighbour.payment()), (client, request), (neighbour, neighbour.payment())]
    written = twins.database.written(bad)
    before, answer, after = answered(flood(sent, connections=3))
    assert (before.status, after.status) == (201, 201)
    assert twins.database.written(bad) == written, answer
    return answer


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body(twins: Twins, bad: Merchant, good: Merchant, name: str) -> None:
    row = BODIES[name]
    answer = among_neighbours(twins, bad, good, twins.first(bad).payment(body=row.body))
    assert (answer.status, answer.code) == (row.status, row.code), answer.body
    assert (answer.error if "errors" in answer.json else None) == row.error
    assert b"4111" not in answer.body


# --- 9 and 10: what is around the body --------------------------------------------------------------------------------

FULL = (OPEN + b"}").ljust(64 * 1024)
GZIP = gzip.compress(b" " * 10_000_000)
JSON = "application/json"

OTHER_MEDIA = (
    "text/plain", "text/json", "*/*", "", "application/jsonp", "application/problem+json",
    "application/json; charset=utf-16", "application/json; charset=latin-1", "application/json, text/plain",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
)  # fmt: skip
AROUND: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "9 64 KiB and a byte": (FULL + b" ", {}, 413, "body_too_large"),
    "9 a bomb": (GZIP, {"Content_Type": JSON, "Content_Encoding": "gzip"}, 415, "unsupported_media_type"),
    "9 gzip that says nothing": (GZIP, {"Content_Type": JSON}, 400, "invalid_json"),
    **{f"10 {media!r}": (OPEN + b"}", {"Content_Type": media}, 415, "unsupported_media_type") for media in OTHER_MEDIA},
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_the_body(twins: Twins, bad: Merchant, good: Merchant, name: str) -> None:
    body, headers, status, code = AROUND[name]
    sent = with_headers(twins.first(bad), body, headers)
    answer = among_neighbours(twins, bad, good, sent)
    assert (answer.status, answer.code) == (status, code)


def with_headers(client: Api, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST with these headers, and no other Content-Type than theirs."""
    sent = client.bytes_of("POST", "/v1/payments", body, key=uuid.uuid4().hex, **headers)
    return sent.replace(b"Content-Type: application/json\r\n", b"", 1) if "Content_Type" in headers else sent


def test_no_content_type(twins: Twins, bad: Merchant, good: Merchant) -> None:
    sent = twins.first(bad).payment().replace(b"Content-Type: application/json\r\n", b"")
    assert among_neighbours(twins, bad, good, sent).code == "unsupported_media_type"


def test_a_body_of_exactly_64_kib_is_read(twins: Twins, good: Merchant) -> None:
    assert twins.first(good).pay(body=FULL).status == 201


@pytest.mark.parametrize(
    ("announced", "end", "status", "code"),
    [
        pytest.param(b"20", False, 400, "invalid_json", id="short"),
        pytest.param(b"4000", True, 400, "invalid_request", id="long"),
        pytest.param(b"65537", False, 413, "body_too_large", id="too much"),
        pytest.param(b"9" * 18, False, 413, "body_too_large", id="more than there is"),
    ],
)
def test_content_length_lies(twins: Twins, bad: Merchant, announced: bytes, end: bool, status: int, code: str) -> None:
    client = twins.first(bad)
    true = client.payment()
    length = true.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    lying = true.replace(b"Content-Length: " + length, b"Content-Length: " + announced)
    written = twins.database.written(bad)
    answer = client.raw(lying, end=end)
    assert (answer.status, answer.code) == (status, code)
    assert twins.database.written(bad) == written
    assert client.pay(body=b"{}").status == 400


# --- 13 to 17: keys ---------------------------------------------------------------------------------------------------

BAD_KEYS = {
    "empty": [""],
    "quoted and empty": ['""'],
    "256 characters": ["k" * 256],
    "a space": ["a b"],
    "not ASCII": ["schlüssel"],
    "an escape": ['"a\\"b"'],
    "half a quote": ['"k'],
    "other quotes": ["'k'"],
    "another character": ["a,b"],
    "a parameter": ['"k"; a=1'],
    "two lines": ["k", "k"],
    "two of one line": ['"k", "k"'],
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key(twins: Twins, bad: Merchant, good: Merchant, name: str) -> None:
    lines = b"".join(b"Idempotency-Key: " + key.encode() + b"\r\n" for key in BAD_KEYS[name])
    sent = twins.first(bad).payment("KEY").replace(b"Idempotency-Key: KEY\r\n", lines)
    answer = among_neighbours(twins, bad, good, sent)
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")


def test_no_key(twins: Twins, bad: Merchant, good: Merchant) -> None:
    sent = twins.first(bad).payment("KEY").replace(b"Idempotency-Key: KEY\r\n", b"")
    assert among_neighbours(twins, bad, good, sent).code == "idempotency_key_missing"


def test_the_order_of_refusals(twins: Twins, bad: Merchant) -> None:
    """Credential, key, size, media type, JSON, members, routing: the first that is wrong is told."""
    client, stranger = twins.first(bad), Api(twins.ports[0], 0, "sk_test_nobody")
    wrong = {"amount": 0, "account": "acc_x"}
    sent = [
        (stranger.payment("", FULL + b" ", Content_Type="text/plain"), 401),
        (client.payment("a b", FULL + b" ", Content_Type="text/plain"), 400),
        (with_headers(client, FULL + b" ", {"Content_Type": "text/plain"}), 413),
        (with_headers(client, b"{", {"Content_Type": "text/plain"}), 415),
        (client.payment(body=BODY | wrong), 400),
        (client.payment(body=BODY | {"account": "acc_x"}), 404),
    ]
    assert [client.raw(each).status for each, _ in sent] == [status for _, status in sent]


# --- Accounts and routes ----------------------------------------------------------------------------------------------


def test_an_account_and_another_provider(twins: Twins, bad: Merchant) -> None:
    named = BODY | {"account": bad.accounts["cpay"], "provider": "sandbox"}
    answer = twins.first(bad).pay(body=named)
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", ("/provider", "invalid"))
    assert decoded(twins.first(twins.new_merchant()).pay(body=BODY | {"provider": "cpay"}))["provider"] == "cpay"


def test_accounts_of_others_and_of_the_other_mode_are_unknown(twins: Twins, bad: Merchant, good: Merchant) -> None:
    client, live = twins.first(bad), twins.first(bad, live=True)
    asked_for = ((client, good.accounts["sandbox"]), (client, bad.live_account), (live, bad.accounts["sandbox"]))
    for asked, account in asked_for:
        answer = asked.pay(body=BODY | {"account": account})
        assert (answer.status, answer.code) == (404, "not_found")


NO_ROUTE: dict[str, tuple[dict[str, object], str]] = {
    "another currency": ({"currency": "ZAR"}, "currency"),
    "another country": ({"method": {"type": "mobile_money", "phone": "+27821234567"}}, "country"),
    "another method": ({"method": CARD}, "method"),
    "another verb": ({"capture": "manual"}, "method"),
}


@pytest.mark.parametrize("name", NO_ROUTE)
def test_no_route_says_why(twins: Twins, bad: Merchant, good: Merchant, name: str) -> None:
    members, reason = NO_ROUTE[name]
    client = twins.first(bad)
    answer = among_neighbours(twins, bad, good, client.payment(body=BODY | {"provider": "cpay"} | members))
    assert (answer.status, answer.code) == (422, "no_route")
    assert answer.json["accounts"] == [{"account": bad.accounts["cpay"], "reason": reason}]


def test_a_provider_that_is_not_there_has_no_accounts(twins: Twins, bad: Merchant) -> None:
    for provider in ("Sandbox", "paypal", "", "../cpay"):
        answer = twins.first(bad).pay(body=BODY | {"provider": provider})
        assert (answer.status, answer.code, answer.json["accounts"]) == (422, "no_route", [])
