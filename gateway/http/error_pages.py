"""`GET /errors/<code>`: the page that a problem's `type` names, made from the table of codes."""

from html import escape
from typing import Any, Final, cast

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from gateway.payments.errors import PROBLEMS, Code, Kind, MyPayError

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{code}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:3em auto;padding:0 1em}}</style></head>
<body><p>Error <code>{code}</code>, HTTP status {status}</p><h1>{title}</h1><p>{meaning}</p>
<h2>What to do</h2><p>{advice}</p></body></html>
"""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=3600",
    "Vary": "Accept",
}


@get("/errors/{code:str}", operation_id="getErrorPage", summary="What an error code means", tags=["errors"])
async def error_page(request: Request[Any, Any, Any], code: FromPath[str]) -> Response[bytes]:
    """The meaning of a code: a page for people; JSON where `Accept` prefers it."""
    kind = PROBLEMS.get(cast(Code, code))
    if kind is None:
        raise MyPayError("not_found", "There is no such error code.")
    wanted = request.accept.best_match(["text/html", "application/json"]) or "text/html"
    content = (
        msgspec.json.encode({"code": code, **kind._asdict()}) if wanted == "application/json" else _page(code, kind)
    )
    return Response(content, media_type=wanted, headers=_HEADERS)


def _page(code: str, kind: Kind) -> bytes:
    members = {name: escape(str(value)) for name, value in kind._asdict().items()}
    return _PAGE.format(code=code, **members).encode()
