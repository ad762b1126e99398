"""Access tokens: JWTs that people get for their password, and what is checked before one is believed.

The rules are those of RFC 8725 (JWT best current practices) and RFC 9068 (`at+jwt`). A header must be the very header
that we write, member by member: so no algorithm, key, address or extension that a stranger puts there is ever looked
at. What a token may do is not in it: that is read from the database, so that it can be taken back.
"""

import base64
import json
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import msgspec
from msgspec import Struct

from gateway import ids

ACCESS_S: Final = 900
LONGEST_LIFE_S: Final = 3600
LEEWAY_S: Final = 60  # between the clocks of two processes that both follow the database's
LONGEST: Final = 4096  # characters
_ALGORITHM: Final = "HS256"


class TokenRefused(Exception):
    """The token is not one of ours, or not one any more. The message is for logs, not for who sent it."""


class Claims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a token says: `sub` is the person, `sid` the session that it ends with. Times are epoch seconds."""

    iss: str
    aud: str
    sub: str
    sid: UUID
    jti: UUID
    iat: int
    nbf: int
    exp: int


class AccessTokens:
    """Writes and reads the tokens of one installation. `key` has 32 bytes; `issuer` is where the installation is."""

    def __init__(self, key: bytes, issuer: str) -> None:
        self._key = key
        self._issuer = issuer.rstrip("/")
        self._audience = f"{self._issuer}/v1"
        self._header = {"alg": _ALGORITHM, "typ": "at+jwt", "kid": sha256(b"kid" + key).hexdigest()[:16]}

    def __repr__(self) -> str:
        """Without the key."""
        return f"AccessTokens({self._issuer})"

    def issue(self, user_id: UUID, session_id: UUID, now: datetime) -> str:
        """A token for `ACCESS_S` seconds."""
        at = int(now.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": ids.show(ids.USER, user_id),
            "sid": str(session_id),
            "jti": str(uuid4()),
            "iat": at,
            "nbf": at,
            "exp": at + ACCESS_S,
        }
        more = {name: value for name, value in self._header.items() if name != "alg"}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers=more)

    def read(self, token: str, now: datetime) -> Claims:
        """The claims of a token of ours that is valid now. Raises `TokenRefused`."""
        header, payload = _members(token)
        if header != self._header:
            raise TokenRefused("the header is not ours")
        try:
            jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid"],
                    "strict_aud": True,
                    # Times are checked below, by the database's clock and not by this machine's.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = msgspec.convert(payload, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError) as error:
            raise TokenRefused(type(error).__name__) from None
        _check_times(claims, int(now.timestamp()))
        return claims


def _check_times(claims: Claims, now: int) -> None:
    if not 0 < claims.exp - claims.iat <= LONGEST_LIFE_S:
        raise TokenRefused("it lives too long")
    if claims.exp + LEEWAY_S <= now or max(claims.iat, claims.nbf) > now + LEEWAY_S:
        raise TokenRefused("it is not valid now")


def _members(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload, unverified; no member may be there twice."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3 or not all(parts):
        raise TokenRefused("the form is not that of a token")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):  # no base64, no UTF-8, no JSON, or a member twice
        raise TokenRefused("a part is not JSON") from None
    if not isinstance(value, dict):
        raise TokenRefused("a part is no object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members
