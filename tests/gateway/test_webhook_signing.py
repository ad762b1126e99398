"""Outgoing signatures are those of Standard Webhooks: the specification's own vectors, and some at its edges.

V1 is in every reference library of standard-webhooks/standard-webhooks (b2fa7b8), V2 in the Rust one; V3 and V4 were
made with the Python one, V5 with the key of RFC 8032, section 7.1, test 1.
"""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.webhook_signing import SigningKeys, decode, encode, headers, new_keys

SECRET, ID, AT = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
OTHER, OTHER_ID, OTHER_AT = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553
BODY = b'{"test": 2432232314}'
PERSON = b'{"email":"test@example.com","username":"test_user"}'
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

VECTORS = [
    (SECRET, ID, AT, BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    (OTHER, OTHER_ID, OTHER_AT, PERSON, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    (SECRET, ID, AT, b"", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
    (SECRET, ID, AT, '{"name":"Ўзбекистон ☃ 💳"}'.encode(), "v1,OplC6WNtFLBj0Ve9clx6V0AzXa1ennb2CVmi9pkMrWU="),
]


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(("secret", "name", "seconds", "body", "signature"), VECTORS, ids=["V1", "V2", "V3", "V4"])
def test_vectors(secret: str, name: str, seconds: int, body: bytes, signature: str) -> None:
    keys = SigningKeys(secret=base64.b64decode(secret))
    assert keys.shared == f"whsec_{secret}"
    assert headers([keys], name, at(seconds), body) == {
        "webhook-id": name,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature,
    }


def test_ed25519_stands_beside_hmac() -> None:
    keys = SigningKeys(secret=base64.b64decode(SECRET), seed=SEED)
    assert keys.public_key == PUBLIC
    first, second = headers([keys], ID, at(AT), BODY)["webhook-signature"].split(" ")
    assert first == VECTORS[0][-1]
    assert second == ("v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC.removeprefix("whpk_")))
    public.verify(base64.b64decode(second.removeprefix("v1a,")), f"{ID}.{AT}.".encode() + BODY)


def test_a_time_with_a_fraction_is_signed_as_it_is_sent() -> None:
    keys = SigningKeys(secret=base64.b64decode(SECRET), seed=SEED)
    assert headers([keys], ID, at(AT + 0.9), BODY) == headers([keys], ID, at(AT), BODY)


def test_both_secrets_sign_during_an_overlap() -> None:
    now, before = SigningKeys(secret=base64.b64decode(OTHER)), SigningKeys(secret=base64.b64decode(SECRET))
    made = headers([now, before], ID, at(AT), BODY)["webhook-signature"].split(" ")
    assert len(made) == 2
    assert made[1] == VECTORS[0][-1]


def test_new_keys_are_as_long_as_the_specification_asks_and_survive_storing() -> None:
    for asymmetric in (False, True):
        keys = new_keys(asymmetric=asymmetric)
        assert 24 <= len(keys.secret) <= 64
        assert (keys.public_key is not None) == asymmetric
        assert decode(encode(keys)) == keys != new_keys(asymmetric=asymmetric)
