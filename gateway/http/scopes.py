"""Which permission a route needs of a restricted key.

A controller names its resource by `opt = scopes.opt("payments")`; a handler may name another one. GET and HEAD read,
every other method writes.
"""

from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import Scope

from gateway.scopes import Resource, scope

RESOURCE: Final = "resource"
_READS: Final = frozenset({"GET", "HEAD"})


def opt(resource: Resource | None) -> dict[str, Any]:
    """The `opt` of a controller or handler; None: every key may use it."""
    return {RESOURCE: resource}


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
