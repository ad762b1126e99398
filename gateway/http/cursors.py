"""Lists: opaque keyset cursors, the envelope, and strict reading of query parameters."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar.types import Scope
from msgspec import Meta, Struct

from gateway.http.violations import refused, violation
from gateway.payments.errors import FieldError, MyPayError

_LONGEST_CURSOR: Final = 100
_MOST_PARAMETERS: Final = 100

T = TypeVar("T", bound=Struct)


class AfterId(Struct, frozen=True, array_like=True, tag="i", forbid_unknown_fields=True):
    """Where a list that runs by id goes on."""

    id: UUID


class AfterPosition(Struct, frozen=True, array_like=True, tag="p", forbid_unknown_fields=True):
    """Where a list that runs by the events' position goes on."""

    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]


Cursor: TypeAlias = AfterId | AfterPosition
C = TypeVar("C", AfterId, AfterPosition)
_DECODERS: Final[dict[type[Any], msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (AfterId, AfterPosition)
}


def encode(cursor: Cursor) -> str:
    """The opaque text of a cursor. It carries no secret: reading another's position shows nobody another's data."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def decode(kind: type[C], text: str) -> C:
    """The cursor that `encode` wrote. Raises `invalid_cursor` for anything else, another list's kind included."""
    try:
        if len(text) > _LONGEST_CURSOR:
            raise MyPayError("invalid_cursor")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor: C = _DECODERS[kind].decode(raw)
    except (ValueError, msgspec.DecodeError):  # no base64, and no cursor
        raise MyPayError("invalid_cursor") from None
    if encode(cursor) != text:
        raise MyPayError("invalid_cursor")
    return cursor


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of every list; a list with filters extends it."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: str | None = None


class Page(Struct, frozen=True, kw_only=True):
    """A list as the API answers it: objects that are JSON already, and the cursor of what follows."""

    object: Literal["list"] = "list"
    data: list[msgspec.Raw]
    has_more: bool
    next: str | None


def page(objects: Sequence[bytes], *, has_more: bool, following: Cursor | None) -> bytes:
    """The envelope's bytes around encoded objects."""
    following_text = None if following is None else encode(following)
    return msgspec.json.encode(
        Page(data=[msgspec.Raw(each) for each in objects], has_more=has_more, next=following_text)
    )


def read_query(scope: Scope, model: type[T]) -> T:
    """The query string as `model`; fields that are lists may repeat.

    Raises `invalid_request` with a pointer for a parameter that is unknown, repeated or not valid.
    """
    parameters: dict[str, Any] = {}
    repeatable = _repeatable(model)
    for name, value in _pairs(scope["query_string"]):
        if "\x00" in name + value:
            raise refused(FieldError("", "invalid", "A query parameter contains U+0000."))
        if name in repeatable:
            parameters.setdefault(name, []).append(value)
        elif name in parameters:
            raise refused(FieldError(f"/{name}", "duplicate", "This parameter is there more than once."))
        else:
            parameters[name] = value
    try:
        return msgspec.convert(parameters, model, strict=False)
    except msgspec.ValidationError as error:
        raise refused(violation(error, parameters, model)) from None


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # not ASCII, not UTF-8 when decoded, or too many
        raise refused(FieldError("", "invalid", "The query string cannot be read.")) from None


def _repeatable(model: type[Struct]) -> set[str]:
    """The names of the fields that are lists."""
    return {field.encode_name for field in msgspec.structs.fields(model) if get_origin(field.type) in (list, tuple)}
