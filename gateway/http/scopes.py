"""Which permission a route needs of a restricted key or a person.

A controller names its resource by `opt = scopes.opt("payments")`; a handler may name another one. GET and HEAD read,
every other method writes. Routes about the installation are for people alone: `opt = scopes.of_installation("users")`.
"""

from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import Scope

from gateway.scopes import InstallationResource, Resource, scope

RESOURCE: Final = "resource"
BODY_NAMES_MERCHANT: Final = "body_names_merchant"
FOR_PEOPLE: Final = "for_people"
_OF_BOTH: Final = frozenset({"audit_events"})  # the installation has some of its own, which its owners may read
_READS: Final = frozenset({"GET", "HEAD"})


def opt(resource: Resource | None, *, body_names_merchant: bool = False) -> dict[str, Any]:
    """The `opt` of a controller or handler; None: every key may use it.

    `body_names_merchant`: a person may name the merchant there, and need not by header.
    """
    return {RESOURCE: resource, BODY_NAMES_MERCHANT: body_names_merchant}


def of_installation(resource: InstallationResource) -> dict[str, Any]:
    """The `opt` of a controller about the installation: for people alone."""
    return {RESOURCE: resource, FOR_PEOPLE: True}


def for_people() -> dict[str, Any]:
    """The `opt` of a controller for everybody who has signed in, and for no key."""
    return {RESOURCE: None, FOR_PEOPLE: True}


def is_for_people(request: Scope) -> bool:
    """Whether no key may use the route."""
    return bool(request["route_handler"].opt.get(FOR_PEOPLE))


def needs_merchant(request: Scope, *, is_owner: bool) -> bool:
    """Whether a person must name a merchant by header to use the route."""
    opt = request["route_handler"].opt
    resource = opt.get(RESOURCE)
    if resource is None or opt.get(FOR_PEOPLE) or opt.get(BODY_NAMES_MERCHANT):
        return False
    return not (is_owner and resource in _OF_BOTH)


def needed(request: Scope) -> str | None:
    """The permission that a request needs. A route that names no resource is nobody's."""
    assert request["type"] == ScopeType.HTTP
    method = request["method"]
    if method == "OPTIONS":  # Litestar's own answer, which only tells the methods
        return None
    return of_route(request["route_handler"].opt.get(RESOURCE, "nothing"), method)


def of_route(resource: str | None, method: str) -> str | None:
    """The permission that a method on a resource needs."""
    return None if resource is None else scope(resource, "read" if method in _READS else "write")
