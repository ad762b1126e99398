"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): an sf-string, or bare as most send it."""

import re
from typing import Final

from litestar.types import Scope

from gateway.http import headers
from gateway.payments.errors import MyPayError

# None of these characters needs an escape in an sf-string (RFC 8941 §3.3.3), so quotes are all there is to remove.
_KEY: Final = re.compile(rb"""(?P<quote>"?)(?P<key>[A-Za-z0-9_.:~+/=-]{1,255})(?P=quote)""")


def required_key(scope: Scope) -> str:
    """The request's key. Raises `idempotency_key_missing` or `idempotency_key_invalid`."""
    key = optional_key(scope)
    if key is None:
        raise MyPayError("idempotency_key_missing")
    return key


def optional_key(scope: Scope) -> str | None:
    """The request's key, or None without one; `"k"` and `k` are the same. Raises `idempotency_key_invalid`."""
    sent = headers.values(scope, b"idempotency-key")
    if not sent:
        return None
    found = _KEY.fullmatch(sent[0].strip(b" \t"))
    if found is None or len(sent) > 1:
        raise MyPayError("idempotency_key_invalid")
    return found["key"].decode()
