"""Encryption with a provider's public key, against keys of our own."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from providers.encryption import rsa_encrypted

KEY = rsa.generate_private_key(65537, 2048)


def der(key):
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def test_the_holder_of_the_key_reads_it_and_no_two_are_alike():
    once, again = (rsa_encrypted("6bc4157dbee34d409118e0978dc6dd17", der(KEY)) for _ in range(2))
    assert once != again
    for text in (once, again):
        assert "\n" not in text
        assert KEY.decrypt(base64.b64decode(text), PKCS1v15()) == b"6bc4157dbee34d409118e0978dc6dd17"


@pytest.mark.parametrize(
    "key", ["", "no key", "AAAA", der(KEY)[:-8], der(ec.generate_private_key(ec.SECP256R1())), "é", "-----BEGIN"]
)
def test_what_is_no_rsa_key_is_a_value_error(key):
    with pytest.raises(ValueError):
        rsa_encrypted("text", key)


def test_a_text_that_does_not_fit_is_a_value_error():
    with pytest.raises(ValueError):
        rsa_encrypted("x" * 300, der(KEY))
