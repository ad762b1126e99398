"""Access tokens: ours are read, and nothing that only looks like one is."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway import ids
from gateway.tokens import ACCESS_S, LONGEST, AccessTokens, TokenRefused

NOW = datetime(2026, 11, 25, 1, 22, 16, tzinfo=UTC)
AT = int(NOW.timestamp())
KEY = b"k" * 32
TOKENS = AccessTokens(KEY, "https://pay.example/")
USER, SESSION = ids.new(), uuid4()
GOOD = TOKENS.issue(USER, SESSION, NOW)
HEADER = jwt.get_unverified_header(GOOD)
CLAIMS: dict[str, Any] = jwt.decode(GOOD, options={"verify_signature": False})
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def signed(claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None, key: bytes = KEY) -> str:
    """A token with a good signature over whatever it says; None removes a member."""
    merged = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
    headers = {name: value for name, value in {**HEADER, **(header or {})}.items() if value is not None}
    return by_hand(json.dumps(headers), json.dumps(merged), key)


def by_hand(header: str, payload: str, key: bytes = KEY) -> str:
    """Sign these very bytes."""
    parts = [encoded(header.encode()), encoded(payload.encode())]
    return ".".join([*parts, encoded(hmac.digest(key, ".".join(parts).encode(), "sha256"))])


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(token: str, now: datetime = NOW) -> bool:
    try:
        TOKENS.read(token, now)
    except TokenRefused:
        return True
    return False


def test_what_is_issued_is_read() -> None:
    claims = TOKENS.read(GOOD, NOW)
    assert (claims.sub, claims.sid, claims.exp - claims.iat) == (ids.show(ids.USER, USER), SESSION, ACCESS_S)
    assert TOKENS.read(signed(), NOW) == claims
    assert jwt.decode(GOOD, KEY, algorithms=["HS256"], options={"verify_aud": False, "verify_exp": False}) == CLAIMS
    assert "k" * 8 not in repr(TOKENS)


@pytest.mark.parametrize("seconds", [-60, 0, ACCESS_S, ACCESS_S + 59])
def test_clocks_may_differ_by_a_minute(seconds: int) -> None:
    assert not refused(GOOD, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-61, ACCESS_S + 60, ACCESS_S + 61])
def test_and_by_no_more(seconds: int) -> None:
    assert refused(GOOD, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "header",
    [
        *({"alg": name} for name in ("none", "None", "nOnE", "HS512", "RS256", "ES256", "EdDSA", "", None)),
        *({"kid": kid} for kid in ("../../dev/null", "' or 1=1", "", None, 1, ["x"])),
        *({"typ": kind} for kind in ("JWT", "rt+jwt", None)),
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/keys"},
        {"jwk": {"kty": "oct", "k": encoded(KEY)}},
        {"x5c": ["x"]},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
    ],
)
def test_a_header_that_is_not_ours_is_not_looked_at(header: dict[str, Any]) -> None:
    assert refused(signed(header=header))


@pytest.mark.parametrize(
    "claims",
    [
        *({name: None} for name in CLAIMS),
        {"iss": "https://pay.example.evil"},
        {"iss": "https://pay.exampl"},
        {"iss": "https://pay.example/"},
        {"iss": ["https://pay.example"]},
        {"aud": ["https://other.example", "https://pay.example/v1"]},
        {"aud": ["https://pay.example/v1"]},
        {"aud": "https://other.example"},
        {"aud": ""},
        {"exp": AT - 61, "iat": AT - 900, "nbf": AT - 900},
        {"nbf": AT + 61},
        {"iat": AT + 61, "exp": AT + 900},
        {"exp": AT + 3601},
        {"exp": AT},
        {"exp": 10**30},
        {"exp": str(AT + 900)},
        {"exp": AT + 900.5},
        {"exp": True},
        {"iat": "now"},
        {"sid": "x"},
        {"jti": "x"},
        {"sub": 1},
        {"role": "owner"},
    ],
)
def test_a_claim_that_is_not_ours_is_refused(claims: dict[str, Any]) -> None:
    assert refused(signed(claims))


FORGERIES: dict[str, Callable[[], str]] = {
    "another key": lambda: signed(key=b"K" * 32),
    "an empty key": lambda: signed(key=b""),
    "no signature": lambda: GOOD.rpartition(".")[0] + ".",
    "two parts": lambda: GOOD.rpartition(".")[0],
    "four parts": lambda: GOOD + ".x",
    "one bit": lambda: GOOD[:-10] + ("A" if GOOD[-10] != "A" else "B") + GOOD[-9:],
    "unsigned": lambda: jwt.encode(CLAIMS, None, algorithm="none", headers={"kid": HEADER["kid"], "typ": "at+jwt"}),
    "rsa": lambda: jwt.encode(CLAIMS, RSA, algorithm="RS256", headers={"kid": HEADER["kid"], "typ": "at+jwt"}),
    "ec with r = s = 0": lambda: ".".join([*GOOD.split(".")[:2], encoded(bytes(64))]),
    "ec": lambda: jwt.encode(CLAIMS, EC, algorithm="ES256", headers={"kid": HEADER["kid"], "typ": "at+jwt"}),
    "two alg": lambda: by_hand(json.dumps(HEADER)[:-1] + ', "alg": "none"}', json.dumps(CLAIMS)),
    "alg twice, ours last": lambda: by_hand('{"alg": "none", ' + json.dumps(HEADER)[1:], json.dumps(CLAIMS)),
    "sub twice": lambda: by_hand(json.dumps(HEADER), json.dumps(CLAIMS)[:-1] + f', "sub": "{CLAIMS["sub"]}"}}'),
    "a list": lambda: by_hand(json.dumps(HEADER), "[]"),
    "deep": lambda: by_hand(json.dumps(HEADER), "[" * 1000 + "]" * 1000),
    "no json": lambda: by_hand("{", "{"),
    "no utf-8": lambda: ".".join([encoded(b"\xff"), *GOOD.split(".")[1:]]),
    "no base64": lambda: "e!" + GOOD[2:],
    "not ascii": lambda: "é" + GOOD,
    "too long": lambda: signed({"jti": None, "pad": "x" * LONGEST}),
    "nothing": lambda: "",
    "dots": lambda: "..",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(name: str) -> None:
    assert refused(FORGERIES[name]())


def test_another_installations_tokens_are_not_ours() -> None:
    assert refused(AccessTokens(b"K" * 32, "https://pay.example").issue(USER, SESSION, NOW))
    assert refused(AccessTokens(KEY, "https://pay2.example").issue(USER, SESSION, NOW))
