"""HTTP as values: the few forms in which providers are spoken to, and how what they send is read."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from providers.contract import CallbackUnreadable, HttpRequest

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what decoding a body can raise

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


def get(path: str, query: Mapping[str, str] | None = None) -> HttpRequest:
    """A GET; `query` is encoded by the transport."""
    return HttpRequest(method="GET", path=path, query=query or {})


def post_json(
    path: str, body: object, headers: Mapping[str, str] | None = None, *, query: Mapping[str, str] | None = None
) -> HttpRequest:
    """A POST of a Struct or dict as JSON. The order of its members is the order of the bytes."""
    form = {"content-type": "application/json", **(headers or {})}
    return HttpRequest(method="POST", path=path, query=query or {}, headers=form, content=_encode(body))


def post_form(path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> HttpRequest:
    """A POST of a form."""
    form = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
    return HttpRequest(method="POST", path=path, headers=form, content=urlencode(fields).encode())


def read_callback(decode: Callable[[bytes], _T], body: bytes) -> _T:
    """The decoded body of a callback, or `CallbackUnreadable`."""
    try:
        return decode(body)
    except UNREADABLE as error:
        raise CallbackUnreadable(type(error).__name__) from None
