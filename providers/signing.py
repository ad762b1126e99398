"""HMAC signatures of callbacks. Whatever is wrong with one, the only error is `SignatureInvalid`.

Comparisons take constant time, malformed input included. Freshness is judged by when the callback was received, not
by now, so that a stored callback can be verified again at any time.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from typing import Final

from providers.contract import CallbackRequest, SignatureInvalid

TOLERANCE_S: Final = 300  # Standard Webhooks' and Stripe's; both ways, for a sender's clock may run ahead

_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The raw 32 bytes. An empty key is refused: anybody could sign with it."""
    if not key:
        raise SignatureInvalid("the secret is empty")
    return hmac.digest(key, message, "sha256")


def matches(given: str, expected: str) -> bool:
    """Whether two signatures are equal, in constant time; `given` may hold anything."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def check_fresh(timestamp: str, request: CallbackRequest, *, tolerance_s: int = TOLERANCE_S) -> None:
    """Refuse a signed time (Unix seconds) that is too far from when the callback came, in either direction."""
    if _SECONDS.fullmatch(timestamp) is None:
        raise SignatureInvalid("the timestamp is not a number of seconds")
    if abs(request.received_at.timestamp() - int(timestamp)) > tolerance_s:
        raise SignatureInvalid("the timestamp is too old, or from the future")


def verify_standard_webhook(request: CallbackRequest, secrets: Iterable[str]) -> None:
    """Standard Webhooks 1.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.

    `secrets` are "whsec_…"; any of them may have signed (two while one is rotated), and any of the header's
    signatures may be the good one. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    identifier, timestamp = _header(request, "webhook-id"), _header(request, "webhook-timestamp")
    check_fresh(timestamp, request)
    message = f"{identifier}.{timestamp}.".encode(errors="replace") + request.body
    expected = ["v1," + base64.b64encode(hmac_sha256(_key(secret), message)).decode() for secret in secrets]
    given = _header(request, "webhook-signature").split(" ")
    if not any([matches(one, right) for one in given for right in expected]):  # noqa: C419 - no early end
        raise SignatureInvalid("no signature matches")


def verify_timestamped(request: CallbackRequest, header: str, secrets: Iterable[str]) -> None:
    """As Stripe signs: `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">` in one header, v1 perhaps several times.

    https://docs.stripe.com/webhooks/signature
    """
    parts = [part.strip().partition("=") for part in _header(request, header).split(",")]
    timestamp = next((value for name, _, value in parts if name == "t"), "")
    check_fresh(timestamp, request)
    message = f"{timestamp}.".encode() + request.body
    _match_any([value for name, _, value in parts if name == "v1"], message, secrets)


def verify_body(request: CallbackRequest, header: str, secrets: Iterable[str]) -> None:
    """HMAC-SHA256 of the body alone, in hex in a header. It says nothing about when: an old one is as good."""
    _match_any([_header(request, header)], request.body, secrets)


def _match_any(given: Iterable[str], message: bytes, secrets: Iterable[str]) -> None:
    expected = [hmac_sha256(secret.encode(), message).hex() for secret in secrets]
    if not any([matches(one, right) for one in given for right in expected]):  # noqa: C419 - no early end
        raise SignatureInvalid("no signature matches")


def _header(request: CallbackRequest, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise SignatureInvalid(f"the header {name} is missing")
    return value


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureInvalid("the account's secret is not whsec_ and base64") from None
