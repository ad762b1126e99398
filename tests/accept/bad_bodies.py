"""Bodies that POST /v1/payments refuses, and the exact answer to each.

Numbers are the groups of the reliability document's list of bad inputs; rows without one are the contract's own rules.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway import ids
from tests.accept.twins import BODY

CARD = {"type": "card", "token": "tok_ok"}
OPEN = json.dumps(BODY)[:-1].encode()  # a good body that can be gone on with


class Row(NamedTuple):
    """What is sent, and what is answered; `error` is pointer and code of the only violation, where there is one."""

    body: bytes
    status: int
    code: str
    error: tuple[str, str] | None = None


BODIES: dict[str, Row] = {}


def with_member(text: str) -> bytes:
    """A good body with one more member, written as it is."""
    return OPEN + b"," + text.encode() + b"}"


def with_amount(text: str) -> bytes:
    """A good body with this amount, written as it is."""
    return OPEN.replace(b"15000", text.encode()) + b"}"


def changed(**members: Any) -> bytes:
    """A good body with these members."""
    return json.dumps(BODY | members).encode()


def no_json(rows: dict[str, bytes]) -> None:
    """Rows that are 400 invalid_json."""
    BODIES.update({name: Row(body, 400, "invalid_json") for name, body in rows.items()})


def invalid(rows: dict[str, tuple[bytes, str, str]]) -> None:
    """Rows that are 400 invalid_request: body, and pointer and code of the error."""
    for name, (body, pointer, code) in rows.items():
        BODIES[name] = Row(body, 400, "invalid_request", (pointer, code))


def invalid_values(name: str, pointer: str, code: str, make: Callable[[str], bytes], values: Iterable[str]) -> None:
    """Rows for several values of one member."""
    invalid({f"{name} {value[:60]!r}": (make(value), pointer, code) for value in values})


# --- 1 and 2: UTF-8 and depth

no_json({
    "1 invalid UTF-8": OPEN.replace(b"LSL", b"LS\xff") + b"}",
    "2 20 000 open brackets": b"[" * 20_000,
    "2 thousands of levels of metadata": with_member('"metadata":' + '{"a":' * 20_000)[:64_000],
    "2 33 levels": with_member('"metadata":' + "[" * 32 + "]" * 32),
})  # fmt: skip
invalid({"2 32 levels": (with_member('"metadata":' + "[" * 31 + "]" * 31), "/metadata", "wrong_type")})

# --- 3 and 4: characters that cannot be stored

for what, escape in (("3 NUL", "\\u0000"), ("4 a lone surrogate", "\\ud800")):
    invalid({
        f"{what} in currency": (OPEN.replace(b"LSL", f"LS{escape}".encode()) + b"}", "/currency", "invalid"),
        f"{what} in phone": (OPEN.replace(b"123456", escape.encode()) + b"}", "/method/phone", "invalid"),
        f"{what} in type": (OPEN.replace(b"mobile_", escape.encode()) + b"}", "/method/type", "invalid"),
        f"{what} in a name of metadata": (with_member(f'"metadata":{{"k{escape}":"v"}}'), "/metadata", "invalid"),
        f"{what} in metadata": (with_member(f'"metadata":{{"k":"{escape}"}}'), "/metadata/k", "invalid"),
        f"{what} in customer.name": (with_member(f'"customer":{{"name":"{escape}"}}'), "/customer/name", "invalid"),
        f"{what} in customer.email": (with_member(f'"customer":{{"email":"{escape}"}}'), "/customer/email", "invalid"),
    })  # fmt: skip
    members = ("country", "capture", "provider", "account", "reference", "description", "return_url", "unknown")
    invalid({
        f"{what} in {name}": (with_member(f'"{name}":"a{escape}b"'), f"/{name}", "invalid") for name in members
    })  # fmt: skip
no_json({
    "4 overlong UTF-8": OPEN.replace(b"LSL", b"\xc0\xaf") + b"}",
    "4 a surrogate in UTF-8": OPEN.replace(b"LSL", b"\xed\xa0\x80") + b"}",
    "4 a byte order mark": b"\xef\xbb\xbf" + OPEN + b"}",
    "4 a raw NUL": OPEN.replace(b"LSL", b"LS\x00") + b"}",
})  # fmt: skip

# --- 5: amounts

invalid_values("5 amount", "/amount", "out_of_range", with_amount, [
    "0", "-0", "-1", "1000000000000001", "9223372036854775807", "9223372036854775808", "9" * 23, "-" + "9" * 23,
])  # fmt: skip
invalid_values("5 amount", "/amount", "wrong_type", with_amount, [
    "1.5", "1.0", "1e3", "1E400", '"1"', '""', "true", "false", "null", "[]", "{}",
])  # fmt: skip
no_json(
    {
        f"5 amount {text}": with_amount(text)
        for text in ("NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1_000", "1.", ".5")
    }
)

# --- 6: currencies

invalid_values("6 currency", "/currency", "invalid", lambda text: changed(currency=text), [
    "usd", "US", "USDX", "", "XXX", "XTS", "XAU", "ZWL", "HRK", "DEM", "LSL ", "LSL\n", "U\u0405D", "L\u0660L",
    "\u0410\u0411\u0412",
])  # fmt: skip
invalid({"6 currency as a number": (changed(currency=426), "/currency", "wrong_type")})

# --- 7 and 8: members that are there twice, or that there are not

invalid({
    "7 amount twice": (b'{"amount":1,' + OPEN[1:] + b"}", "/amount", "duplicate"),
    "7 amount twice, once escaped": (b'{"am\\u006funt":1,' + OPEN[1:] + b"}", "/amount", "duplicate"),
    "7 phone twice": (OPEN.replace(b'"type"', b'"phone":"1","type"') + b"}", "/method/phone", "duplicate"),
    "7 metadata twice": (with_member('"metadata":{"k":"1","k":"1"}'), "/metadata/k", "duplicate"),
})  # fmt: skip
UNKNOWN = [
    "status", "merchant_id", "merchant", "__proto__", "constructor", "id", "livemode", "fee", "role", "sequence",
    "amount_captured", "Amount", "amount ",
]  # fmt: skip
invalid({f"8 {name}": (with_member(f'"{name}":"x"'), f"/{name}", "unknown_field") for name in UNKNOWN})
NUMBER = {"type": "card", "number": "4111111111111111"}
invalid({
    "8 in method": (changed(method={**BODY["method"], "token": "t"}), "/method/token", "unknown_field"),
    "8 in customer": (changed(customer={"phone": "1"}), "/customer/phone", "unknown_field"),
    "8 a card's number": (changed(method=NUMBER), "/method/number", "unknown_field"),
})  # fmt: skip

# --- 11: other JSON, and none

invalid({
    "11 nothing": (b"", "/amount", "required"),
    "11 an empty object": (b"{}", "/amount", "required"),
    "11 null": (b"null", "", "wrong_type"),
    "11 an array": (b"[]", "", "wrong_type"),
    "11 a string": (b'"x"', "", "wrong_type"),
    "11 no method": (b'{"amount":1,"currency":"LSL"}', "/method", "required"),
    "11 a method of no kind": (changed(method={"phone": "+26658123456"}), "/method/type", "required"),
    "11 a method of an unknown kind": (changed(method={"type": "cash"}), "/method/type", "invalid"),
    "11 a method that is a string": (changed(method="card"), "/method", "wrong_type"),
})  # fmt: skip
no_json({
    "11 two values": OPEN + b"}{}",
    "11 a comma at the end": OPEN + b",}",
    "11 something after it": OPEN + b"}x",
    "11 half of it": OPEN,
    "11 white space": b" \n",
    "11 single quotes": b"{'amount':1}",
    "11 UTF-16": (OPEN + b"}").decode().encode("utf-16"),
    "11 a form": b"amount=1&currency=LSL",
})  # fmt: skip

# --- 12: text that is too long

LONG = {
    "description": ["x" * 501, "\U0001f4b3" * 501, "x" * 10_240],
    "reference": ["x" * 101],
    "provider": ["x" * 41],
    "account": ["acc_" + "0" * 10_000],
    "return_url": ["https://shop.example/" + "x" * 2028],
}
invalid({
    f"12 {name} of {len(text)} {text[0]}": (changed(**{name: text}), f"/{name}", "too_long")
    for name, texts in LONG.items()
    for text in texts
})  # fmt: skip
invalid({
    "12 a long name": (changed(customer={"name": "x" * 201}), "/customer/name", "too_long"),
    "12 a long address": (changed(customer={"email": "x" * 255}), "/customer/email", "too_long"),
    "12 a long phone": (changed(method={**BODY["method"], "phone": "2" * 40}), "/method/phone", "too_long"),
})  # fmt: skip

# --- The contract: phones and countries


def with_phone(text: str) -> bytes:
    """A good body with this phone."""
    return changed(method={"type": "mobile_money", "phone": text})


invalid_values("phone", "/method/phone", "invalid", with_phone, [
    "58123456", "+266", "hello", "+999123456789", "+266 5812 3456 7890 12", "+26658123456;1", "+2665812345a", "+",
    "\u0662\u0666\u0666",
])  # fmt: skip
invalid({
    "an empty phone": (with_phone(""), "/method/phone", "too_short"),
    "country XX": (changed(country="XX"), "/method/phone", "invalid"),
    "country XX with a card": (changed(country="XX", method=CARD), "/country", "invalid"),
    "country ls": (changed(country="ls"), "/country", "invalid"),
    "country LSO": (changed(country="LSO"), "/country", "invalid"),
})  # fmt: skip
BODIES["phone and country"] = Row(changed(country="ZA"), 400, "phone_country_mismatch", ("/method/phone", "invalid"))

# --- The contract: metadata, expiry, capture

METADATA: dict[str, tuple[dict[str, Any], str, str]] = {
    "51 names": ({str(number): "" for number in range(51)}, "/metadata", "too_long"),
    "a long name": ({"k" * 41: ""}, "/metadata/" + "k" * 41, "too_long"),
    "an empty name": ({"": ""}, "/metadata/", "too_short"),
    "a long value": ({"k": "v" * 501}, "/metadata/k", "too_long"),
    "a number": ({"k": 1}, "/metadata/k", "wrong_type"),
    "null": ({"k": None}, "/metadata/k", "wrong_type"),
    "8 KiB and a byte": (dict.fromkeys(map(str, range(10, 26)), "v" * 500) | {"x": "v" * 160}, "/metadata", "too_long"),
    "8 KiB in UTF-8": (dict.fromkeys("abcde", "\U0001f4b3" * 420), "/metadata", "too_long"),
}
invalid({f"metadata of {name}": (changed(metadata=row[0]), row[1], row[2]) for name, row in METADATA.items()})
invalid({
    "expires_in 59": (changed(expires_in=59), "/expires_in", "out_of_range"),
    "expires_in 604 801": (changed(expires_in=604_801), "/expires_in", "out_of_range"),
    "expires_in 60.5": (changed(expires_in=60.5), "/expires_in", "wrong_type"),
    "expires_in as text": (changed(expires_in="600"), "/expires_in", "wrong_type"),
    "capture later": (changed(capture="later"), "/capture", "invalid"),
})  # fmt: skip

# --- The contract: where a payer is sent

invalid_values("return_url", "/return_url", "invalid", lambda url: changed(return_url=url), [
    "", "shop.example", "/back", "//shop.example/", "ftp://shop.example/", "javascript:alert(1)", "data:text/html,x",
    "file:///etc/passwd", "https://", "https:///back", "https://user@shop.example/", "https://user:pw@shop.example/",
    "https://:pw@shop.example/", "https://@shop.example/", "https://shop.example\\@evil.example/", "https://[::1/",
    "https://shop.example:99999/", "https://shop.example:x/", "https://shop.example:0/", "https://shop example/",
    "https://shop.example/a b", "https://shop.example/\r\nSet-Cookie: a=b", "https://shop.example/\t",
    " https://shop.example/", "https://shop.example/\x7f", "https://shop.example/caf\u00e9",
])  # fmt: skip
invalid({"a redirect to nowhere": (changed(method={"type": "redirect"}), "/return_url", "required")})

# --- The contract: cards and accounts

NUMBERS = [
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "6011 0009 9013 9424",
    "4222222222222", "5555.5555.5555.4444", "4111111111111111\n", "\u00a04111111111111111",
    "4111\u20131111\u20131111\u20131111", "\uff14" + "1" * 15,
]  # fmt: skip
for number in NUMBERS:
    BODIES[f"card {number!r}"] = Row(changed(method={**CARD, "token": number}), 400, "card_number_refused")

ACCOUNTS = [
    "0", "-1", "", "acc_", "%00", "../", str(ids.NIL), "acc_" + "8" + "z" * 25, "acc_" + "z" * 26, "ACC_" + "0" * 26,
    ids.show(ids.ACCOUNT, ids.NIL), ids.show(ids.PAYMENT, ids.NIL),
]  # fmt: skip
for account in ACCOUNTS:
    BODIES[f"account {account!r}"] = Row(changed(account=account), 404, "not_found")
