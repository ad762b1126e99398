"""The Idempotency-Key header, over the wire and by property."""

import string
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.idempotency import optional_key, required_key
from gateway.payments.errors import MyPayError
from tests.http.test_strict_bodies import OPEN
from tests.http.wire import Wire

BODY = OPEN + b"}"
ALPHABET = string.ascii_letters + string.digits + "_.:~+/=-"
KEYS = st.text(ALPHABET, min_size=1, max_size=255)


def scope(*values: bytes) -> Any:
    """An ASGI scope with one header line for each value."""
    return {"headers": [(b"host", b"h"), *((b"idempotency-key", value) for value in values)]}


def ask(wire: Wire, *keys: bytes) -> Any:
    """POST with one header line for each key."""
    headers: list[tuple[str, str | bytes]] = [
        ("Content-Type", "application/json"),
        *(("Idempotency-Key", key) for key in keys),
    ]
    return wire.ask("POST", "/v1/payments", BODY, headers)


def test_it_is_required(wire: Wire) -> None:
    answer = ask(wire)
    assert (answer.status, answer.code) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b'""',
        b"a" * 256,
        b'"' + b"a" * 256 + b'"',
        b"a b",
        b"a,b",
        b"a, b",
        b"\xc3\xa9",
        b"\xff",
        b'"a',
        b'a"',
        b'"a\\"b"',
        b'"a\\\\b"',
        b'"a";x=1',
        b"'a'",
        b"{a}",
        b"a\tb",
    ],
)
def test_what_is_no_key(wire: Wire, key: bytes) -> None:
    answer = ask(wire, key)
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("keys", [(b"a", b"a"), (b"a", b"b"), (b"a", b"")])
def test_two_lines_are_refused(wire: Wire, keys: tuple[bytes, bytes]) -> None:
    answer = ask(wire, *keys)
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")


def test_a_nul_never_reaches_us(wire: Wire) -> None:
    answer = ask(wire, b"a\x00b")
    assert (answer.status, answer.body) == (400, b"")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"k", "k"),
        (b'"k"', "k"),
        (b"  k\t", "k"),
        (b"K", "K"),
        (b"8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        (b"a" * 255, "a" * 255),
        (b'"' + b"a" * 255 + b'"', "a" * 255),
        (ALPHABET.encode(), ALPHABET),
    ],
)
def test_quotes_make_no_difference(wire: Wire, sent: bytes, read: str) -> None:
    answer = ask(wire, sent)
    assert (answer.status, answer.json["key"]) == (201, read)


@given(KEYS)
def test_every_key_is_read_bare_and_quoted(key: str) -> None:
    assert required_key(scope(key.encode())) == key
    assert required_key(scope(b'"' + key.encode() + b'"')) == key


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_whatever_comes_is_a_key_or_a_refusal(lines: list[bytes]) -> None:
    key = None
    with suppress(MyPayError) if lines else nullcontext():
        key = optional_key(scope(*lines))
    assert key is None or (len(lines) == 1 and 0 < len(key) <= 255 and set(key) <= set(ALPHABET))
