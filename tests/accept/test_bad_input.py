"""Bad requests to the real POST /v1/payments: exact answers, nothing written, and neighbours that notice nothing.

The groups are those of the reliability document's list of bad inputs; how bodies are read is tested in tests/http.
"""

import gzip
import json
import uuid
from typing import Any

import pytest

from gateway import ids
from tests.accept.twins import BODY, Api, Merchant, Twins, answered, decoded, flood
from tests.http.wire import Answer

pytestmark = pytest.mark.xdist_group("twins")

CARD = {"type": "card", "token": "tok_ok"}
OPEN = json.dumps(BODY)[:-1].encode()
SURROGATE = "\\ud800"
NUL = "\\u0000"


def member(text: str) -> bytes:
    """A good body with one more member, written as it is."""
    return OPEN + b"," + text.encode() + b"}"


def amount(text: str) -> bytes:
    """A good body with this amount."""
    return OPEN.replace(b"15000", text.encode()) + b"}"


def changed(**members: Any) -> bytes:
    """A good body with these members."""
    return json.dumps(BODY | members).encode()


def texts(escape: str) -> dict[str, tuple[bytes, str]]:
    """A body with the escape in each member that is a string, and the pointer to it."""
    return {
        "currency": (OPEN.replace(b"LSL", f"LS{escape}".encode()) + b"}", "/currency"),
        "method.phone": (OPEN.replace(b"123456", f"{escape}".encode()) + b"}", "/method/phone"),
        "method.type": (OPEN.replace(b"mobile_money", f"mobile{escape}".encode()) + b"}", "/method/type"),
        "country": (member(f'"country":"L{escape}"'), "/country"),
        "capture": (member(f'"capture":"automatic{escape}"'), "/capture"),
        "provider": (member(f'"provider":"sandbox{escape}"'), "/provider"),
        "account": (member(f'"account":"acc_{escape}"'), "/account"),
        "reference": (member(f'"reference":"a{escape}b"'), "/reference"),
        "description": (member(f'"description":"a{escape}b"'), "/description"),
        "customer.name": (member(f'"customer":{{"name":"{escape}"}}'), "/customer/name"),
        "customer.email": (member(f'"customer":{{"email":"{escape}"}}'), "/customer/email"),
        "return_url": (member(f'"return_url":"https://shop.example/{escape}"'), "/return_url"),
        "metadata value": (member(f'"metadata":{{"k":"{escape}"}}'), "/metadata/k"),
        "an unknown member": (member(f'"note":"{escape}"'), "/note"),
    }


# name: (body, status, code, (pointer, code of the error) or None)
Row = tuple[bytes, int, str, tuple[str, str] | None]
BODIES: dict[str, Row] = {}


def invalid(group: int | str, rows: dict[str, tuple[bytes, str, str]]) -> None:
    """Rows that are 400 invalid_request, with pointer and code of the only error."""
    BODIES.update(
        {f"{group} {name}": (body, 400, "invalid_request", (pointer, code)) for name, (body, pointer, code) in rows.items()}
    )


def no_json(group: int, rows: dict[str, bytes]) -> None:
    """Rows that are 400 invalid_json."""
    BODIES.update({f"{group} {name}": (body, 400, "invalid_json", None) for name, body in rows.items()})


no_json(1, {"invalid UTF-8": OPEN.replace(b"LSL", b"LS\xff") + b"}"})
no_json(2, {
    "20 000 open brackets": b"[" * 20_000,
    "20 000 levels of metadata": member('"metadata":' + '{"a":' * 20_000 + "1" + "}" * 20_000)[:64_000],
    "33 levels": member('"metadata":' + "[" * 32 + "]" * 32),
})  # fmt: skip
invalid(2, {"32 levels where there may be two": (member('"metadata":' + "[" * 31 + "]" * 31), "/metadata", "wrong_type")})
for kind, escape in (("NUL", NUL), ("surrogate", SURROGATE)):
    rows = texts(escape).items()
    invalid(3 if escape == NUL else 4, {f"{kind} in {name}": (body, pointer, "invalid") for name, (body, pointer) in rows})
invalid(3, {"NUL in a name of metadata": (member(f'"metadata":{{"k{NUL}":"v"}}'), "/metadata", "invalid")})
invalid(4, {"surrogate in a name of metadata": (member(f'"metadata":{{"k{SURROGATE}":"v"}}'), "/metadata", "invalid")})
no_json(4, {
    "overlong UTF-8": OPEN.replace(b"LSL", b"\xc0\xaf") + b"}",
    "a surrogate in UTF-8": OPEN.replace(b"LSL", b"\xed\xa0\x80") + b"}",
    "a byte order mark": b"\xef\xbb\xbf" + OPEN + b"}",
    "a raw NUL": OPEN.replace(b"LSL", b"LS\x00") + b"}",
})  # fmt: skip
invalid(5, {f"amount {text}": (amount(text), "/amount", "out_of_range") for text in
    ("0", "-0", "-1", "1000000000000001", "9223372036854775807", "9223372036854775808", "9" * 23, "-" + "9" * 23)
})  # fmt: skip
invalid(5, {f"amount {text}": (amount(text), "/amount", "wrong_type") for text in
    ("1.5", "1.0", "1e3", "1E400", '"1"', '""', "true", "false", "null", "[]", "{}")
})  # fmt: skip
no_json(5, {f"amount {text}": amount(text) for text in ("NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1_000", "1.", ".5")})
invalid(6, {f"currency {text!r}": (changed(currency=text), "/currency", "invalid") for text in (
    "usd", "US", "USDX", "", "XXX", "XTS", "XAU", "ZWL", "HRK", "DEM", "U\u0405D", "\u0410\u0411\u0412", "LSL ", "LSL\n", "L\u0660L",
)})  # fmt: skip
invalid(6, {"currency as a number": (changed(currency=426), "/currency", "wrong_type")})
invalid(7, {
    "amount twice": (b'{"amount":1,' + OPEN[1:] + b"}", "/amount", "duplicate"),
    "amount twice, once escaped": (b'{"am\\u006funt":1,' + OPEN[1:] + b"}", "/amount", "duplicate"),
    "a phone twice": (member('"m":1').replace(b'"type"', b'"phone":"1","type"'), "/method/phone", "duplicate"),
    "metadata twice": (member('"metadata":{"k":"1","k":"1"}'), "/metadata/k", "duplicate"),
})  # fmt: skip
invalid(8, {f"{name}": (member(f'"{name}":"x"'), f"/{name}", "unknown_field") for name in (
    "status", "merchant_id", "merchant", "__proto__", "id", "livemode", "fee", "role", "amount_captured", "sequence", "Amount", "amount ",
)})  # fmt: skip
invalid(8, {
    "in method": (changed(method={**BODY["method"], "token": "t"}), "/method/token", "unknown_field"),
    "in customer": (changed(customer={"phone": "1"}), "/customer/phone", "unknown_field"),
    "a card's number": (changed(method={"type": "card", "number": "4111111111111111"}), "/method/number", "unknown_field"),
})  # fmt: skip
invalid(11, {
    "nothing": (b"", "/amount", "required"),
    "an empty object": (b"{}", "/amount", "required"),
    "null": (b"null", "", "wrong_type"),
    "an array": (b"[]", "", "wrong_type"),
    "a string": (b'"x"', "", "wrong_type"),
    "no method": (json.dumps({k: v for k, v in BODY.items() if k != "method"}).encode(), "/method", "required"),
    "a method of no kind": (changed(method={"phone": "+26658123456"}), "/method/type", "required"),
    "a method of an unknown kind": (changed(method={"type": "cash"}), "/method/type", "invalid"),
    "a method that is a string": (changed(method="card"), "/method", "wrong_type"),
})  # fmt: skip
no_json(11, {
    "two values": OPEN + b"}{}",
    "a comma at the end": OPEN + b",}",
    "something after it": OPEN + b"}x",
    "half of it": OPEN,
    "white space": b" \n",
    "single quotes": b"{'amount':1}",
    "UTF-16": (OPEN + b"}").decode().encode("utf-16"),
    "a form": b"amount=1&currency=LSL",
})  # fmt: skip
invalid(12, {f"{name} of {len(text)} characters": (changed(**{name: text}), f"/{name}", "too_long") for name, text in (
    ("description", "x" * 501), ("description", "\U0001f4b3" * 501), ("description", "x" * 10_240),
    ("reference", "x" * 101), ("provider", "x" * 41), ("account", "acc_" + "0" * 10_000), ("return_url", "https://shop.example/" + "x" * 2028),
)})  # fmt: skip
invalid(12, {
    "a long name": (changed(customer={"name": "x" * 201}), "/customer/name", "too_long"),
    "a long address": (changed(customer={"email": "x" * 255}), "/customer/email", "too_long"),
    "a long phone": (changed(method={"type": "mobile_money", "phone": "+" + "2" * 40}), "/method/phone", "too_long"),
})  # fmt: skip

# --- The contract's own rules: §1 and §3

invalid("contract", {f"phone {text!r}": (changed(method={"type": "mobile_money", "phone": text}), "/method/phone", "invalid") for text in (
    "58123456", "+266", "hello", "+999123456789", "+266 5812 3456 7890 12", "+26658123456;1", "+2665812345a", "\u0662\u0666\u0666", "+",
)})  # fmt: skip
invalid("contract", {
    "an empty phone": (changed(method={"type": "mobile_money", "phone": ""}), "/method/phone", "too_short"),
    "country XX": (changed(country="XX"), "/method/phone", "invalid"),
    "country XX with a card": (changed(country="XX", method=CARD), "/country", "invalid"),
    "country ls": (changed(country="ls"), "/country", "invalid"),
    "country LSO": (changed(country="LSO"), "/country", "invalid"),
    "an empty token": (changed(method={"type": "card", "token": ""}), "/method/token", "too_short"),
    "51 names of metadata": (changed(metadata={str(n): "" for n in range(51)}), "/metadata", "too_long"),
    "a long name of metadata": (changed(metadata={"k" * 41: ""}), "/metadata/" + "k" * 41, "too_long"),
    "an empty name of metadata": (changed(metadata={"": ""}), "/metadata/", "too_short"),
    "a long value of metadata": (changed(metadata={"k": "v" * 501}), "/metadata/k", "too_long"),
    "a number in metadata": (changed(metadata={"k": 1}), "/metadata/k", "wrong_type"),
    "null in metadata": (changed(metadata={"k": None}), "/metadata/k", "wrong_type"),
    "metadata of 8 KiB and a byte": (changed(metadata={f"{n:02}": "v" * 500 for n in range(16)} | {"x": "v" * 160}), "/metadata", "too_long"),
    "metadata of 8 KiB in UTF-8": (changed(metadata={str(n): "\U0001f4b3" * 420 for n in range(5)}), "/metadata", "too_long"),
    "expires_in 59": (changed(expires_in=59), "/expires_in", "out_of_range"),
    "expires_in 604 801": (changed(expires_in=604_801), "/expires_in", "out_of_range"),
    "expires_in 60.5": (changed(expires_in=60.5), "/expires_in", "wrong_type"),
    "expires_in as text": (changed(expires_in="600"), "/expires_in", "wrong_type"),
    "capture later": (changed(capture="later"), "/capture", "invalid"),
    "a redirect to nowhere": (changed(method={"type": "redirect"}), "/return_url", "required"),
})  # fmt: skip
invalid("contract", {f"return_url {url!r}": (changed(return_url=url), "/return_url", "invalid") for url in (
    "", "shop.example", "/back", "//shop.example/", "ftp://shop.example/", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
    "https://", "https:///back", "https://user@shop.example/", "https://user:pw@shop.example/", "https://:pw@shop.example/",
    "https://@shop.example/", "https://[::1/", "https://shop.example:99999/", "https://shop.example:x/", "https://shop example/",
    "https://shop.example/a b", "https://shop.example/\r\nSet-Cookie: a=b", "https://shop.example/\t", " https://shop.example/",
    "https://shop.example\\@evil.example/", "https://shop.example/\x7f",
)})  # fmt: skip
for number in ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "6011 0009 9013 9424",
               "4222222222222", "5555.5555.5555.4444", "4111111111111111\n", "\u00a04111111111111111", "4111\u20131111\u20131111\u20131111",
               "６０１１０００９９０１３９４２４"):  # fmt: skip
    BODIES[f"contract card {number!r}"] = (changed(method={"type": "card", "token": number}), 400, "card_number_refused", None)
BODIES["contract phone and country"] = (changed(country="ZA"), 400, "phone_country_mismatch", ("/method/phone", "invalid"))
for text in ("0", "-1", "acc_", "", ids.show(ids.ACCOUNT, ids.new()), ids.show(ids.PAYMENT, ids.new()), str(ids.new()), "%00", "../", "ACC_" + "0" * 26,
             "acc_" + "8" + "z" * 25, "acc_" + "z" * 26):  # fmt: skip
    BODIES[f"contract account {text[:12]!r}"] = (changed(account=text), 404, "not_found", None)


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
    body, status, code, error = BODIES[name]
    client = twins.first(bad)
    answer = among_neighbours(twins, bad, good, client.bytes_of("POST", "/v1/payments", body, key=uuid.uuid4().hex))
    assert (answer.status, answer.code) == (status, code), answer.body
    assert (answer.error if "errors" in answer.json else None) == error
    assert b"4111" not in answer.body


# --- 9 and 10: what is around the body ------------------------------------------------------------------------------------

FULL = (OPEN + b"}").ljust(64 * 1024)
GZIP = gzip.compress(b" " * 10_000_000)
JSON = "application/json"

AROUND: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "9 64 KiB and a byte": (FULL + b" ", {}, 413, "body_too_large"),
    "9 a bomb": (GZIP, {"Content_Type": JSON, "Content_Encoding": "gzip"}, 415, "unsupported_media_type"),
    "9 gzip that says nothing": (GZIP, {"Content_Type": JSON}, 400, "invalid_json"),
    **{
        f"10 {media!r}": (OPEN + b"}", {"Content_Type": media}, 415, "unsupported_media_type")
        for media in (
            "text/plain", "", "application/json; charset=utf-16", "application/json; charset=latin-1", "application/jsonp", "text/json",
            "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json, text/plain", "*/*",
            "application/problem+json",
        )
    },
}  # fmt: skip


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
def test_content_length_lies(
    twins: Twins, bad: Merchant, announced: bytes, end: bool, status: int, code: str
) -> None:
    client = twins.first(bad)
    true = client.payment()
    length = true.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    lying = true.replace(b"Content-Length: " + length, b"Content-Length: " + announced)
    written = twins.database.written(bad)
    answer = client.raw(lying, end=end)
    assert (answer.status, answer.code) == (status, code)
    assert twins.database.written(bad) == written
    assert client.pay(body=b"{}").status == 400


# --- 12: text is kept as it is --------------------------------------------------------------------------------------------

TEXTS = {
    "right to left": "\u202egnp.exe\u202c \u200f\u05d0",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1f1\U0001f1f8",
    "combining marks": "e\u0301 Z\u0351\u036b\u0343\u036a\u0302",
    "HTML": "<script>alert('1')</script>&amp;",
    "SQL": "'; drop table payments; --",
    "lines": 'a\r\nERROR {"level":"error"}\n\tb\x0b\x0c\x1b[31m\x7f\x85\u2028',
    "a template": "{{7*7}} ${7*7} %s %n {0}",
    "edges": " \ufeff\ufffe\U0010ffff ",
    "500 characters beyond the BMP": "\U0001f4b3" * 500,
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_kept_as_it_is_and_makes_no_line_of_the_log(twins: Twins, good: Merchant, name: str) -> None:
    text = TEXTS[name]
    members = {
        "description": text,
        "reference": text[:100],
        "customer": {"name": text[:200], "email": text[:254]},
        "metadata": {"k": text, text[:40]: "v"},
    }
    client = twins.second(good)
    accepted = client.pay(body=BODY | members, Request_Id=f"text-{name.replace(' ', '-')}")
    read = twins.first(good).get(accepted.headers["location"])
    for answer in (accepted, read):
        assert {member: decoded(answer)[member] for member in members} == members
    log = twins.handles[1].log
    lines = [line for line in log.splitlines() if f"text-{name.replace(' ', '-')}" in line]
    assert len(lines) == 1
    assert json.loads(lines[0])["status"] == 201
    assert all(line.startswith("{") for line in log.split("\n") if line)


# --- 13 to 17: keys -------------------------------------------------------------------------------------------------------

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


# --- Accounts and routes --------------------------------------------------------------------------------------------------


def test_an_account_and_another_provider(twins: Twins, bad: Merchant) -> None:
    named = BODY | {"account": bad.accounts["cpay"], "provider": "sandbox"}
    answer = twins.first(bad).pay(body=named)
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", ("/provider", "invalid"))
    assert decoded(twins.first(twins.new_merchant()).pay(body=BODY | {"provider": "cpay"}))["provider"] == "cpay"


def test_accounts_of_others_and_of_the_other_mode_are_unknown(twins: Twins, bad: Merchant, good: Merchant) -> None:
    client, live = twins.first(bad), twins.first(bad, live=True)
    for asked, account in ((client, good.accounts["sandbox"]), (client, bad.live_account), (live, bad.accounts["sandbox"])):
        answer = asked.pay(body=BODY | {"account": account})
        assert (answer.status, answer.code) == (404, "not_found")


NO_ROUTE = {
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


# --- What is just good enough ---------------------------------------------------------------------------------------------

GOOD: dict[str, dict[str, Any]] = {
    "the smallest amount": {"amount": 1},
    "the largest amount": {"amount": 10**15},
    "a currency without decimals": {"currency": "JPY", "provider": "sandbox"},
    "a currency with three": {"currency": "KWD", "provider": "sandbox"},
    "rand in Lesotho": {"currency": "ZAR", "country": "LS"},
    "a local number with its country": {"country": "LS", "method": {"type": "mobile_money", "phone": "5812 3456"}},
    "a card's token": {"method": CARD},
    "a token of digits that is no card number": {"method": {"type": "card", "token": "4111111111111112"}},
    "a short token of digits": {"method": {"type": "card", "token": "41111111118"}},
    "a redirect": {"method": {"type": "redirect"}, "return_url": "http://localhost:8080/back?a=1#top"},
    "an address with an IPv6 host": {"return_url": "https://[2001:db8::1]:8443/back"},
    "an address of 2 048 characters": {"return_url": "https://shop.example/" + "x" * 2027},
    "a minute": {"expires_in": 60},
    "a week": {"expires_in": 604_800},
    "much metadata": {"metadata": {f"{n:02}".ljust(40, "k"): "v" * 123 for n in range(50)}},
    "a long value of metadata": {"metadata": {"k": "\U0001f4b3" * 500}},
    "exactly 8 KiB of metadata": {"metadata": {f"{n:02}": "v" * 500 for n in range(16)} | {"x": "v" * 159}},
    "nulls": dict.fromkeys(("country", "provider", "account", "reference", "description", "customer", "metadata", "return_url", "expires_in")),
    "a key of 255 characters": {},
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_just_good_enough(twins: Twins, good: Merchant, name: str) -> None:
    members = GOOD[name]
    key = "k" * 255 if "255" in name else None
    payment = decoded(twins.first(good).pay(key, BODY | members))
    assert payment["amount"] == members.get("amount", 15000)
    assert payment["currency"] == members.get("currency", "LSL")
    assert payment["metadata"] == (members.get("metadata") or {})
    assert decoded(twins.second(good).get(f"/v1/payments/{payment['id']}")) == payment
