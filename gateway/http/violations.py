"""msgspec's validation messages, as RFC 6901 pointers, codes and sentences.

msgspec says where and what in one English message. The sentences made of it never repeat what the client sent.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.payments.errors import FieldCode, FieldError, MyPayError

_MESSAGE: Final = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_TYPE: Final = re.compile(r"\w+")

_NAMES_MEMBER: Final[dict[str, FieldCode]] = {
    r"Object missing required field `(.*)`": "required",
    r"Object contains unknown field `(.*)`": "unknown_field",
}
_SENTENCES: Final[dict[FieldCode, str]] = {"required": "This is required.", "unknown_field": "There is no such member."}
_COMPARISONS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_PARTS: Final = {"str": "characters", "object": "members"}
_TYPES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number with a fraction",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def violation(error: msgspec.ValidationError, value: Any, model: type) -> FieldError:
    """What msgspec found wrong with `value` (decoded JSON, which may be changed) while converting it to `model`."""
    message = str(error)
    found = _MESSAGE.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    pointer = "".join(escaped(step) for step in _steps(path, message, value, model))
    for pattern, code in _NAMES_MEMBER.items():
        if member := re.fullmatch(pattern, what, re.DOTALL):
            return FieldError(pointer + escaped(member[1]), code, _SENTENCES[code])
    return FieldError(pointer, *_judged(what))


def refused(error: FieldError) -> MyPayError:
    """The refusal of a body or query for one violation."""
    return MyPayError("invalid_request", f"{error.pointer or 'The body'}: {error.detail}", errors=[error])


def _judged(what: str) -> tuple[FieldCode, str]:
    """Code and sentence of a message about a value that is there."""
    if found := re.fullmatch(r"Expected `(.*)`, got `(.*)`", what):
        return "wrong_type", f"Expected {_typed(found[1])}, got {_typed(found[2])}."
    if found := re.fullmatch(r"Expected `(\w+).*` of length (>=|<=) (\d+)", what):
        counted = f"Must have {_COMPARISONS[found[2]]} {found[3]} {_PARTS.get(found[1], 'items')}."
        return "too_long" if found[2] == "<=" else "too_short", counted
    if found := re.fullmatch(r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)", what):
        return "out_of_range", f"Must be {_COMPARISONS[found[1]]} {found[2]}."
    if found := re.fullmatch(r"Expected `str` matching regex '(.*)'", what):
        return "invalid", f"Must match {found[1]}."
    if "datetime" in what:
        return "invalid", "Must be an RFC 3339 time with its offset, such as 2026-11-23T21:00:00Z."
    return "invalid", "This is not one of the values allowed."


def _typed(names: str) -> str:
    return _TYPE.sub(lambda name: _TYPES.get(name[0], name[0]), names).replace(" | ", " or ")


def escaped(step: str) -> str:
    """A step of a JSON pointer (RFC 6901 §3)."""
    return "/" + step.replace("~", "~0").replace("/", "~1")


def _steps(path: str, message: str, value: Any, model: type) -> Iterator[str]:
    """The reference tokens of msgspec's path. It writes `[...]` for any key of a mapping: we find out which."""
    here = value
    for name, index in _STEP.findall(path):
        step = _offending_key(here, message, value, model) if index == "..." else name or index
        if step is None:
            return
        yield step
        here = _child(here, step)
    if "`key` in" in message:
        key = _offending_key(here, message, value, model)
        if key is not None:
            yield key


def _child(here: Any, step: str) -> Any:
    """The member or item, or None: a path can be forged by an unknown member whose name looks like one."""
    if isinstance(here, dict):
        return here.get(step)
    return here[int(step)] if isinstance(here, list) and step.isdigit() and int(step) < len(here) else None


def _offending_key(mapping: Any, message: str, value: Any, model: type) -> str | None:
    """The key with which alone `mapping`, a part of `value`, still gives the same message."""
    members: list[tuple[str, Any]] = list(mapping.items()) if isinstance(mapping, dict) else []
    for key, member in members:
        mapping.clear()
        mapping[key] = member
        try:
            msgspec.convert(value, model)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return key
    return None
