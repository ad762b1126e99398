"""The OpenAPI 3.1 document, made from the table of operations and the Structs that decode and encode."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from gateway.http.endpoints import ENDPOINTS, Endpoint
from gateway.http.openapi_examples import EXAMPLES
from gateway.http.openapi_links import links
from gateway.http.problems import Problem
from gateway.payments.errors import PROBLEMS, Code

_REF: Final = "#/components/schemas/{name}"


_ALWAYS: Final[tuple[Code, ...]] = (
    "invalid_request",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "internal_error",
    "unavailable",
)
_BODY: Final[tuple[Code, ...]] = (
    *("invalid_json", "card_number_refused", "body_too_large", "unsupported_media_type", "accept_unknown"),
)
_KEYED: Final[tuple[Code, ...]] = ("idempotency_key_missing", "idempotency_key_in_progress")
_LIMIT_HEADERS: Final[dict[str, Any]] = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it is worth trying again."},
    "RateLimit": {"schema": {"type": "string"}, "example": '"default";r=0;t=1'},
    "RateLimit-Policy": {"schema": {"type": "string"}, "example": '"default";q=100;w=1'},
}
_PERSONS_HEADERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "MyPay-Merchant",
        "description": "With an access token: the merchant that is meant. An API key's own merchant is always meant.",
        "schema": {"type": "string", "examples": ["mer_01k6x0q4mxe4rb2d5a0m7v9t3c"]},
    },
    {
        "name": "MyPay-Livemode",
        "description": "With an access token: whether live data is meant. By default test data is.",
        "schema": {"$ref": _REF.format(name="Livemode")},
    },
)
_LIVEMODE: Final = {"type": "string", "enum": ["false", "true"], "description": "Which data is meant: test or live."}
_HEADERS: Final[dict[str, Any]] = {
    "Request-Id": {
        "required": True,
        "schema": {"type": "string"},
        "description": "Names this request in our logs: the client's own `Request-Id`, or one of ours.",
    },
    "Location": {"required": True, "schema": {"type": "string"}, "description": "The path of what was made."},
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "There on an answer that repeats an earlier one.",
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    **_LIMIT_HEADERS,
}
_MORE_HEADERS: Final = {"401": ["WWW-Authenticate"], "429": list(_LIMIT_HEADERS), "503": ["Retry-After"]}
_REPEATABLE: Final[tuple[Code, ...]] = ("idempotency_key_invalid", "idempotency_key_reused")


def document(public_url: str, version: str) -> bytes:
    """The document as JSON."""
    models: list[type[Struct] | None] = [Problem]
    models += [model for each in ENDPOINTS for model in (each.body, each.query, each.returns)]
    _, schemas = msgspec.json.schema_components(filter(None, models), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = _operation(endpoint, schemas)
    shown = {name: _shown(schema) for name, schema in schemas.items() if not name.endswith("Query")}
    shown["Livemode"] = _LIVEMODE
    security = {
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key: `sk_test_…`, `sk_live_…`, or a restricted `rk_…`.",
        },
        "apiKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A person's access token, from `POST /v1/auth/token`; its role decides what it may do.",
        },
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "MyPay",
                "version": version,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": public_url}],
            "security": [{name: []} for name in security],
            "paths": paths,
            "components": {"schemas": shown, "headers": _HEADERS, "securitySchemes": security},
        }
    )


def route(public_url: str, version: str) -> HTTPRouteHandler:
    """The handler of GET /openapi.json."""
    content = document(public_url, version)

    @get("/openapi.json", sync_to_thread=False)
    def openapi() -> Response[bytes]:
        """This API, as OpenAPI 3.1."""
        return Response(content, media_type="application/json")

    return openapi


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.id,
        "tags": [endpoint.path.split("/")[2]],
        "summary": endpoint.summary,
        **_description(endpoint),
        **_security(endpoint),
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(endpoint, schemas), *_headers(endpoint)],
        "responses": {str(endpoint.status): _success(endpoint), **_refusals(endpoint)},
    }
    if endpoint.body is not None:
        schema = schemas[endpoint.body.__name__]
        content = _content(_ref(endpoint.body))
        if endpoint.body in EXAMPLES:
            content["application/json"]["example"] = EXAMPLES[endpoint.body]
        operation["requestBody"] = {"required": bool(schema["required"]), "content": content}
    return operation


def _description(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.permission is None:
        return {}
    who = "A restricted key" if endpoint.caller == "merchant" else "A person"
    return {"description": f"{who} needs `{endpoint.permission}`."}


def _security(endpoint: Endpoint) -> dict[str, Any]:
    """Only where it is not what the document says for all."""
    others: dict[str, list[dict[str, Any]]] = {"person": [{"accessToken": []}], "anybody": []}
    return {} if endpoint.caller == "merchant" else {"security": others[endpoint.caller]}


def _ref(model: type) -> dict[str, Any]:
    return {"$ref": _REF.format(name=model.__name__)}


def _content(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    schema = _page_of(endpoint.returns) if endpoint.is_list else _ref(endpoint.returns)
    names = ["Request-Id"]
    names += ["Location"] if endpoint.status == 201 else []
    names += ["Idempotency-Replayed"] if endpoint.keyed or endpoint.repeatable else []
    found = links(endpoint)
    return {
        "description": endpoint.summary,
        "headers": _header_refs(names),
        "content": _content(schema, "text/event-stream" if endpoint.streams else "application/json"),
        **({"links": found} if found else {}),
    }


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _shown(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of `components`. What we answer has every member that has a default: a client may count on it."""
    if schema.get("type") != "object" or schema.get("additionalProperties") is False:
        return schema
    members: dict[str, dict[str, Any]] = schema["properties"]
    there = [name for name, of in members.items() if name in schema["required"] or "default" in of]
    plain = {name: {key: value for key, value in of.items() if key != "default"} for name, of in members.items()}
    return {**schema, "properties": plain, "required": there}


def _page_of(model: type) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "next"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _ref(model)},
            "has_more": {"type": "boolean"},
            "next": {"type": ["string", "null"], "description": "The `after` of the next page."},
        },
    }


def _refusals(endpoint: Endpoint) -> dict[str, Any]:
    """One response for each status, naming its codes."""
    codes = [*_ALWAYS, *endpoint.problems]
    codes += _BODY if endpoint.body is not None else ()
    codes += _KEYED if endpoint.keyed else ()
    codes += _REPEATABLE if endpoint.keyed or endpoint.repeatable else ()
    if "{" in endpoint.path or endpoint.body is not None:
        codes.append("not_found")
    by_status: dict[str, list[Code]] = {}
    for code in codes:
        by_status.setdefault(str(PROBLEMS[code].status), []).append(code)
    content = _content(_ref(Problem), "application/problem+json")
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in by_status[status]),
            "headers": _header_refs(["Request-Id", *_MORE_HEADERS.get(status, ())]),
            "content": content,
        }
        for status in sorted(by_status)
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    properties = schemas[endpoint.query.__name__]["properties"] if endpoint.query is not None else {}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9_.:~+/=-]+$"}
    wait = {"type": "string", "examples": ["wait=10"]}
    named: list[dict[str, Any]] = []
    if endpoint.caller == "merchant" and endpoint.permission is not None:
        named += [{"in": "header", "required": False, **each} for each in _PERSONS_HEADERS]
    if endpoint.streams:
        resumes = {"type": "string", "description": "The id of the last event that was seen: the stream goes on there."}
        named.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": resumes})
    if endpoint.keyed or endpoint.repeatable:
        named.append({"name": "Idempotency-Key", "in": "header", "required": endpoint.keyed, "schema": key})
    if endpoint.keyed:
        named.append({"name": "Prefer", "in": "header", "required": False, "schema": wait})
    return named
