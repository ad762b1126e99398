"""`GET /docs`: the OpenAPI document as one page for people. No script, nothing from elsewhere: it works offline."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.http.openapi import document

_SCHEMA: Final = "#/components/schemas/"
_LIMITS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches {}",
    "format": "{}",
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=300",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>MyPay API</title>
<style>
:root{{color-scheme:light dark}}
body{{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}
code,pre{{font:13px/1.5 ui-monospace,monospace}} h2{{margin-top:2.5em}} h2,summary{{border-bottom:1px solid #8884}}
table{{border-collapse:collapse;width:100%;margin:.5em 0}}
td,th{{text-align:left;vertical-align:top;padding:.2em .8em .2em 0;border-bottom:1px solid #8882}}
details{{margin:.5em 0;overflow-x:auto}} summary{{cursor:pointer;padding:.3em 0}}
summary b{{display:inline-block;min-width:4.5em}} nav a{{display:inline-block;margin-right:1em}}
pre{{overflow:auto;padding:.7em;background:#8881}}
</style></head><body>
<h1>MyPay API {version}</h1>
<p>Send an API key as <code>Authorization: Bearer sk_test_…</code>. Amounts are integers of minor units.
The machine-readable form of this page is <a href="/openapi.json">/openapi.json</a>; each error's <code>type</code>
is a page that explains it. Members and parameters with a star are required.</p>
<pre>curl {url}/v1/payments -H 'Authorization: Bearer sk_test_…' -H 'Idempotency-Key: order-1001' \\
  --json '{{"amount": 15000, "currency": "LSL", "method": {{"type": "mobile_money", "phone": "+26658123000"}}}}'</pre>
<nav>{navigation}</nav>
{sections}
<h2 id="schemas">Schemas</h2>
{schemas}
</body></html>
"""


def route(public_url: str, version: str) -> HTTPRouteHandler:
    """The handler."""
    content = page(msgspec.json.decode(document(public_url, version)))

    @get("/docs", sync_to_thread=False)
    def docs() -> Response[bytes]:
        """This API, for people."""
        return Response(content, media_type="text/html", headers=_HEADERS)

    return docs


def page(api: dict[str, Any]) -> bytes:
    """The page of an OpenAPI 3.1 document such as ours."""
    groups: dict[str, list[str]] = {}
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(path.split("/")[2], []).append(_operation(method, path, operation))
    html = _PAGE.format(
        version=escape(api["info"]["version"]),
        url=escape(api["servers"][0]["url"]),
        navigation="".join(f'<a href="#{name}">{name}</a>' for name in [*groups, "schemas"]),
        sections="".join(f'<h2 id="{name}">{name}</h2>{"".join(parts)}' for name, parts in groups.items()),
        schemas="".join(_schema(name, schema) for name, schema in sorted(api["components"]["schemas"].items())),
    )
    return html.encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    head = f"<summary><b>{method.upper()}</b> <code>{escape(path)}</code> — {escape(operation['summary'])}</summary>"
    parts = [_paragraph(operation.get("description"))]
    parts.append(_table("parameter", "in", "value", rows=_parameters(operation["parameters"])))
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_content(operation['requestBody'])}</p>")
    answers = ((code, _description(answer), _content(answer)) for code, answer in operation["responses"].items())
    parts.append(_table("status", "meaning", "answer", rows=answers))
    return f'<details id="{escape(operation["operationId"])}">{head}{"".join(parts)}</details>'


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for each in parameters:
        yield f"<code>{escape(each['name'])}</code>{_star(each.get('required'))}", each["in"], _type(each["schema"])


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = (
        (f"<code>{escape(member)}</code>{_star(member in required)}", _type(of), escape(of.get("description", "")))
        for member, of in schema.get("properties", {}).items()
    )
    told = _paragraph(schema.get("description")) or f"<p>{_type(schema)}</p>"
    members = _table("member", "value", "meaning", rows=rows)
    return f'<details id="{name}"><summary><code>{name}</code></summary>{told}{members}</details>'


def _type(schema: dict[str, Any]) -> str:
    """A schema in one line of HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_SCHEMA))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"])) + _limits(schema)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in values) + _limits(schema)
    return escape(_kind(schema)) + _items(schema) + _limits(schema)


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _items(schema: dict[str, Any]) -> str:
    inner = schema.get("items") or schema.get("additionalProperties")
    if "data" in schema.get("properties", {}):  # a page
        return f" with <code>data</code>: {_type(schema['properties']['data'])}"
    return f" of {_type(inner)}" if isinstance(inner, dict) and inner else ""


def _limits(schema: dict[str, Any]) -> str:
    told = [text.format(schema[name]) for name, text in _LIMITS.items() if name in schema]
    if schema.get("default") not in (None, "", {}):
        told.append(f"default {msgspec.json.encode(schema['default']).decode()}")
    return escape("".join(f"; {each}" for each in told))


def _content(holder: dict[str, Any]) -> str:
    return ", ".join(_type(each["schema"]) for each in holder.get("content", {}).values())


def _description(answer: dict[str, Any]) -> str:
    return _code(escape(answer["description"]))


def _paragraph(text: str | None) -> str:
    return f"<p>{_code(escape(text))}</p>" if text else ""


def _code(text: str) -> str:
    """Text with `…` as code; an odd backtick stays."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return text
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _star(required: object) -> str:
    return " *" if required else ""


def _table(*heads: str, rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{each}</th>" for each in heads)
    return f"<table><tr>{head}</tr>{body}</table>" if body else ""
