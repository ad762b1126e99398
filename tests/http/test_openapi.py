"""The OpenAPI document: it describes the routes that there are, and every reference in it leads somewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway.app import create_app
from gateway.http import json_body
from gateway.http.context import RequestContext
from gateway.http.controllers import CONTROLLERS, OPEN_CONTROLLERS
from gateway.http.endpoints import ENDPOINTS
from gateway.http.openapi import document
from gateway.http.openapi_examples import EXAMPLES
from gateway.http.problems import Problem
from gateway.http.scopes import FOR_PEOPLE, of_route
from gateway.http.sign_in import Refresh
from gateway.payments.errors import PROBLEMS
from gateway.settings import Settings
from providers.contract import Secret
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
    names = {f"#/components/{kind}/{name}" for kind, named in api["components"].items() for name in named}
    assert references <= names


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


# --- The whole application --------------------------------------------------------------------------------------------

ELSEWHERE = {  # what is not for merchants' programs, and where it is described
    "/callbacks/{provider}/{token}": "docs/guides/add-a-provider.md",
    "/callbacks/{provider}/{token}/{operation}": "docs/guides/add-a-provider.md",
    "/return/{token}": "docs/guides/accept-a-payment.md",
    "/errors/{code}": "docs/reference/errors.md",
    "/openapi.json": "docs/reference/api.md",
    "/docs": "docs/guides/accept-a-payment.md",
    "/health/live": "docs/guides/run.md",
    "/health/ready": "docs/guides/run.md",
    "/metrics": "docs/reference/metrics.md",
    "/api/v1/payments/initialize": "docs/migrating.md",
    "/api/v1/payments/{payment_id}": "docs/migrating.md",
    "/api/v1/payments/{payment_id}/verify": "docs/migrating.md",
}


def test_nothing_is_served_that_is_not_described(api: dict[str, Any]) -> None:
    secrets = {"secret_key": Secret("s" * 43), "jwt_secret_key": Secret("j" * 43)}
    app = create_app(Settings(**secrets, database_uri=Secret("postgresql://nobody@127.0.0.1:9/nothing")))
    assert isinstance(app, RequestContext)
    assert isinstance(app._app, Litestar)
    served = {route.path_format for route in app._app.routes}
    assert served == {*api["paths"], *ELSEWHERE}
    assert all(Path(page).exists() for page in ELSEWHERE.values())


def test_every_code_has_its_page_at_the_type_of_a_problem(wire: Wire) -> None:
    for code in PROBLEMS:
        problem = wire.ask("GET", f"/v1/problem/{code}").json
        page = wire.ask("GET", problem["type"].removeprefix("https://pay.example"), headers=[("Accept", "text/html")])
        assert (page.status, code in page.body.decode()) == (200, True)


# --- Examples, links, answers -----------------------------------------------------------------------------------------


def test_every_example_is_a_body_that_is_read() -> None:
    for model, example in EXAMPLES.items():
        json_body.decode(json.dumps(example).encode(), model)
    members = {each.body for each in ENDPOINTS if each.body is not None and msgspec.structs.fields(each.body)}
    needed = {body for body in members if any(field.required for field in msgspec.structs.fields(body))}
    assert needed - set(EXAMPLES) == {Refresh}  # a token that works cannot be shown


def test_every_link_leads_to_an_operation_and_its_parameters(api: dict[str, Any]) -> None:
    operations = {each["operationId"]: each for path in api["paths"].values() for each in path.values()}
    found = [
        node for node in nodes(api["paths"]) if isinstance(node, dict) and "operationId" in node and "tags" not in node
    ]
    assert len(found) > 30
    for link in found:
        names = {each["name"] for each in operations[link["operationId"]]["parameters"]}
        assert {name.rpartition(".")[2] for name in link.get("parameters", {})} <= names
    reached = {link["operationId"] for link in found}
    assert {each.id for each in ENDPOINTS if "{" in each.path} <= reached


WITHOUT_MODE = {"EventObject", "UserObject", "NewUserObject", "MerchantObject", "NewMerchantObject"}


def test_every_object_has_what_all_have(api: dict[str, Any]) -> None:
    for name, schema in api["components"]["schemas"].items():
        members = schema.get("properties", {})
        if {"id", "object"} <= set(members):
            common = {"created_at", "updated_at"} if name != "EventObject" else {"timestamp", "livemode"}
            common |= set() if name in WITHOUT_MODE else {"livemode"}
            assert common <= set(members), name
            assert set(schema["required"]) == set(members), name
