"""Encryption with the public key that a provider gives out, as some want it of credentials."""

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key


def rsa_encrypted(text: str, public_key: str) -> str:
    """The text under RSA with PKCS #1 v1.5 padding, in base64; other characters each time, since the padding is random.

    `public_key` is base64 of a DER SubjectPublicKeyInfo. `ValueError` when it is no RSA key, or too small for the text.
    """
    try:
        key = load_der_public_key(base64.b64decode(public_key))
    except UnsupportedAlgorithm:
        key = None
    if isinstance(key, RSAPublicKey):
        return base64.b64encode(key.encrypt(text.encode(), PKCS1v15())).decode()
    raise ValueError("not an RSA key")
