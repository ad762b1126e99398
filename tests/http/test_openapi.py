"""The OpenAPI document: it describes the routes that there are, and every reference in it leads somewhere."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway.http.controllers import CONTROLLERS, OPEN_CONTROLLERS
from gateway.http.endpoints import ENDPOINTS
from gateway.http.openapi import document
from gateway.http.problems import Problem
from gateway.http.scopes import FOR_PEOPLE, of_route
from tests.http.wire import Wire


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return dict(json.loads(document("https://pay.example", "1.0")))


def nodes(value: Any) -> Iterator[Any]:
    """A value and everything in it."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_it_describes_the_routes_of_v1_and_no_others() -> None:
    routes = Litestar([*CONTROLLERS, *OPEN_CONTROLLERS], openapi_config=None).routes
    served = {(m.lower(), r.path_format) for r in routes for m in r.methods if m != "OPTIONS"}
    assert {(each.method, each.path) for each in ENDPOINTS} == served


def test_restricted_keys_need_what_it_says() -> None:
    handlers = {
        (method.lower(), route.path_format): handler
        for route in Litestar([*CONTROLLERS, *OPEN_CONTROLLERS], openapi_config=None).routes
        if isinstance(route, HTTPRoute)
        for method, handler in ((m, h) for h in route.route_handlers for m in h.http_methods if m != "OPTIONS")
    }
    for endpoint in ENDPOINTS:
        opt = handlers[endpoint.method, endpoint.path].opt
        resource = opt.get("resource") if endpoint.caller == "anybody" else opt["resource"]
        assert endpoint.permission == of_route(resource, endpoint.method.upper()), endpoint.path
        assert bool(opt.get(FOR_PEOPLE)) == (endpoint.caller == "person"), endpoint.path


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    references = {node["$ref"] for node in nodes(api) if isinstance(node, dict) and "$ref" in node}
    names = set(api["components"]["schemas"])
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= names


def test_ids_are_unique(api: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in api["paths"].values() for operation in path.values()]
    assert len(set(ids)) == len(ids) == len(ENDPOINTS)


def test_every_parameter_of_a_path_is_declared(api: dict[str, Any]) -> None:
    for path, operations in api["paths"].items():
        for operation in operations.values():
            declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_problems_are_what_it_says(wire: Wire) -> None:
    strict = msgspec.defstruct("Strict", [], bases=(Problem,), frozen=True, kw_only=True, forbid_unknown_fields=True)
    for path in ("/v1/fail/no_route", "/v1/payments?limit=0", "/v1/problem/rate_limited", "/nothing"):
        msgspec.json.decode(wire.ask("GET", path).body, type=strict)
