"""Request headers as ASGI has them: a list of lower-case names and raw values, in which repetitions can be seen."""

from litestar.types import Scope


def values(scope: Scope, name: bytes) -> list[bytes]:
    """Every value of a header, in order; `name` is lower case."""
    return [value for key, value in scope["headers"] if key == name]
