"""An exchange with a provider as people may see it: what authenticates is masked, in headers and in bodies."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from providers.contract import HttpRequest, HttpResponse
from providers.http import UNREADABLE
from providers.redaction import MASK, is_sensitive, mask_headers, mask_text

SHOWN: Final = 20_000  # characters of a body


def shown_request(request: HttpRequest, secrets: Iterable[str] = ()) -> str:
    """A request as text, without credentials."""
    query = {name: MASK if is_sensitive(name) else value for name, value in request.query.items()}
    target = request.path + ("?" + urlencode(query, safe="*+") if query else "")
    return mask_text(_message(f"{request.method} {target}", request.headers, request.content), secrets)


def shown_response(response: HttpResponse, secrets: Iterable[str] = ()) -> str:
    """A response as text, without credentials."""
    return mask_text(_message(f"HTTP {response.status}", response.headers, response.content), secrets)


def _message(first: str, headers: Any, content: bytes) -> str:
    lines = [first, *(f"{name}: {value}" for name, value in mask_headers(headers).items())]
    body = _body(content, headers.get("content-type", ""))
    return "\n".join([*lines, "", body] if body else lines)


def _body(content: bytes, kind: str) -> str:
    if kind.startswith("application/x-www-form-urlencoded"):
        form = parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True)
        return urlencode([(name, MASK if is_sensitive(name) else value) for name, value in form], safe="*+")
    try:
        said = msgspec.json.decode(content)
    except UNREADABLE:
        return content.decode("utf-8", "replace")[:SHOWN]
    return msgspec.json.format(msgspec.json.encode(_masked(said)), indent=2).decode()[:SHOWN]


def _masked(value: Any) -> Any:
    """The same JSON, with the members masked whose names say that they authenticate."""
    if isinstance(value, dict):
        return {
            name: MASK if is_sensitive(name) and isinstance(member, str) and member else _masked(member)
            for name, member in value.items()
        }
    return [_masked(member) for member in value] if isinstance(value, list) else value
