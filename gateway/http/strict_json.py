"""Parsing JSON strictly (I-JSON, RFC 7493): no repeated members, no U+0000, no lone surrogates, no deep nesting.

What can be pointed at is refused as `invalid_request` with a pointer, what cannot as `invalid_json`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from gateway.http.violations import escaped, refused
from gateway.payments.errors import FieldError, MyPayError

DEEPEST: Final = 32
_TOO_DEEP: Final = f"The body is nested more than {DEEPEST} levels deep."
_FORBIDDEN: Final = re.compile("[\x00\ud800-\udfff]")


class _RepeatedMember(Exception):
    """An object has a member twice."""


def parse(raw: bytes) -> Any:
    """One JSON value. Raises `invalid_json` or `invalid_request`."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MyPayError("invalid_json", "The body is not UTF-8.") from None
    value = _decoded(text)
    if text.count("{") + text.count("[") > DEEPEST and _is_too_deep(value):
        raise MyPayError("invalid_json", _TOO_DEEP)
    if "\\u" in text:  # raw ones are no JSON and no UTF-8, so these characters can only come from escapes
        _check_characters(value)
    return value


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except _RepeatedMember:
        raise refused(_repeated_member(text)) from None
    except RecursionError:
        raise MyPayError("invalid_json", _TOO_DEEP) from None
    except json.JSONDecodeError as error:
        detail = f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise MyPayError("invalid_json", detail) from None
    except ValueError:  # NaN and the infinities, which are no JSON, and integers of thousands of digits
        raise MyPayError("invalid_json", "The body contains a number that is not acceptable.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedMember
    return members


def _no_constant(name: str) -> None:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


# --- Finding what to point at ---------------------------------------------------------------------------------------


class _Node(NamedTuple):
    """A value and how it was reached. Pointers are only built when needed: a long name has many descendants."""

    value: Any
    step: str
    parent: "_Node | None"


def _pointer(node: _Node) -> str:
    steps: list[str] = []
    while node.parent is not None:
        steps.append(escaped(node.step))
        node = node.parent
    return "".join(reversed(steps))


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((str(index), item) for index, item in enumerate(value)) if isinstance(value, list) else ()


def _nodes(value: Any) -> Iterator[_Node]:
    """The value and everything in it, in the order of the text; without recursion, whatever the depth."""
    stack = [_Node(value, "", None)]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed([_Node(child, step, node) for step, child in _children(node.value)]))


def _is_too_deep(value: Any) -> bool:
    """Level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(DEEPEST):
        level = [child for each in level for _, child in _children(each) if isinstance(child, dict | list)]
    return bool(level)


def _check_characters(value: Any) -> None:
    """Refuse U+0000, which Postgres cannot store, and lone surrogates, which UTF-8 cannot write; in names as well."""
    for node in _nodes(value):
        for text in (node.step, node.value):
            if isinstance(text, str) and _FORBIDDEN.search(text):
                # A name with a lone surrogate could not be written into the answer: point at its object instead.
                at = node.parent if text is node.step and node.parent is not None else node
                raise refused(FieldError(_pointer(at), "invalid", "This contains U+0000 or a lone surrogate."))


class _Repeating(dict[str, Any]):
    """An object with a repeated member, and that member's name."""

    def __init__(self, pairs: list[tuple[str, Any]], name: str) -> None:
        super().__init__(pairs)
        self.name = name


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return _Repeating(pairs, name)
        seen.add(name)
    return dict(pairs)


def _repeated_member(text: str) -> FieldError:
    """Where the first repeated member is: found by a second reading, because the first does not know its place."""
    value = json.JSONDecoder(object_pairs_hook=_marked).decode(text)
    _check_characters(value)  # the answer must be able to write the member's name
    node = next(each for each in _nodes(value) if isinstance(each.value, _Repeating))
    return FieldError(_pointer(node) + escaped(node.value.name), "duplicate", "This member is there more than once.")
