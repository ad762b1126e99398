"""`Prefer: wait=N` (RFC 7240): for how long an answer may be held back."""

import re
from typing import Final

from litestar.types import Scope

from gateway.http import headers

LONGEST_WAIT_S: Final = 30
_LONGEST_HEADER: Final = 512  # a longer one is no preference we know, and is ignored like any malformed one
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_SECONDS: Final = re.compile(rb"[0-9]+")


def wait_s(scope: Scope) -> int:
    """Seconds to wait, 0 to 30: more counts as 30; absent or malformed counts as 0; the first of several counts."""
    header = b",".join(headers.values(scope, b"prefer"))
    if not header or len(header) > _LONGEST_HEADER:
        return 0
    for preference in _QUOTED.sub(_unquoted, header).split(b","):
        name, _, value = preference.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"wait":
            return min(int(value), LONGEST_WAIT_S) if _SECONDS.fullmatch(value.strip()) else 0
    return 0


def applied(seconds: int) -> dict[str, str]:
    """The header that tells the client how long it was willing to wait, as we understood it."""
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}


def _unquoted(quoted: re.Match[bytes]) -> bytes:
    """Numbers may be quoted; any other quoted text could hide a comma, and matters to nobody here."""
    return quoted[1] if _SECONDS.fullmatch(quoted[1]) else b"?"
