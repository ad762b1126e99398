"""HTTP Message Signatures (RFC 9421) of callbacks: a public key's owner signed method, address and body's digest.

As in `providers.signing`, the only error is `SignatureInvalid`, and times are judged by when the callback came. The
library resolves the components and checks digest and signature; here is what we want of a callback beyond that.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from providers.contract import CallbackRequest, SignatureInvalid
from providers.signing import check_fresh

HEADERS: Final = ("content-digest", "content-length", "content-type", "signature", "signature-date", "signature-input")
COVERED: Final = ("@method", "@authority", "@path", "content-digest")

_BASE64: Final = re.compile(r":([A-Za-z0-9+/]+={0,2}):")
_END: Final = "-----END PUBLIC KEY-----"
_RAW_LENGTH: Final = 64  # of an ECDSA P-256 signature, as RFC 9421 section 3.3.4 writes it


class _P256(algorithms.ECDSA_P256_SHA256):
    """As the RFC says, or in DER, which some senders (and every TLS library) write."""

    def verify(self, signature: bytes, message: bytes) -> None:
        super().verify(signature if len(signature) == _RAW_LENGTH else self.signature_from_der(signature), message)


_ALGORITHMS: Final = (_P256, algorithms.ECDSA_P384_SHA384, algorithms.RSA_PSS_SHA512, algorithms.RSA_V1_5_SHA256)


class _Message(NamedTuple):
    """A callback, as the library reads one."""

    method: str
    url: str
    headers: Mapping[str, str]


class _Keyring(HTTPSignatureKeyResolver):
    """One key, whatever the sender calls it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def resolve_public_key(self, key_id: str) -> bytes:
        return self._key


class _Verifier(HTTPMessageVerifier):
    def __init__(self, request: CallbackRequest, algorithm: type[HTTPSignatureAlgorithm], key: bytes) -> None:
        super().__init__(signature_algorithm=algorithm, key_resolver=_Keyring(key))
        self._request = request

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        """Refuse a signature that is too old, from the future, expired, or does not say."""
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if "alg" not in sig_input.params or created is None or expires is None:
            raise InvalidSignature("alg, created or expires is missing")
        check_fresh(str(created), self._request)
        if expires < self._request.received_at.timestamp():
            raise InvalidSignature("the signature has expired")


def public_keys(text: str) -> list[bytes]:
    """The keys of a text of one or several PEM blocks. `ValueError` when there is none, or one cannot be read."""
    keys = [(part.strip() + "\n" + _END + "\n").encode() for part in text.split(_END)[:-1]]
    if not keys:
        raise ValueError("no public key in PEM")
    for key in keys:
        load_pem_public_key(key)
    return keys


def verify_message(request: CallbackRequest, keys: str | None) -> None:
    """Signed by one of the `keys` (PEM) for this address and body: `COVERED` at least, and at most five minutes ago.

    The address is one account's alone, so that what its sender signed for another customer is not taken for ours.
    """
    known = public_keys(keys) if keys and _is_canonical(request.headers.get("signature", "")) else []
    if not any(_is_signed(request, algorithm, key) for key in known for algorithm in _ALGORITHMS):
        raise SignatureInvalid("no signature of one of the account's keys")


def _is_canonical(header: str) -> bool:
    """Whether its base64 is the one way to write these bytes: the library ignores the bits that no byte needs."""
    try:
        return all(b64encode(b64decode(one)).decode() == one for one in _BASE64.findall(header))
    except ValueError:
        return False


def _is_signed(request: CallbackRequest, algorithm: type[HTTPSignatureAlgorithm], key: bytes) -> bool:
    message = _Message(request.method, request.url, request.headers)
    try:
        verifier = _Verifier(request, algorithm, key)
        verifier.verify(message, max_age=None, require_components=COVERED, body=request.body)
    except (HTTPMessageSignaturesException, SignatureInvalid):
        return False
    return True
