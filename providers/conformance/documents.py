"""Answers made out of answers: other words, other shapes, cut short; and the documents of things that break."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.contract import HttpResponse
from providers.http import UNREADABLE

UNHEARD: Final = "WAT"
UNHEARD_NUMBER: Final = 987654

# What stands between us and a provider, and what a broken provider says. Nothing follows from any of them.
DOCUMENTS: Final = {
    "nothing": b"",
    "an HTML page": b"<!doctype html><html><head><title>502 Bad Gateway</title></head></html>",
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "a text": b'"OK"',
    "an empty object": b"{}",
    "an error nobody knows": b'{"error": "x", "message": "x"}',
    "half an object": b'{"status":',
    "no UTF-8": b'{"status": "\xff\xfe"}',
    "UTF-16": '{"status": "ok"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "too deep a nesting": b"[" * 50_000,
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
}


def leaves(value: Any) -> Iterator[Any]:
    """Every text, number, true, false and null of a JSON value, as deep as it is."""
    if isinstance(value, dict):
        for member in value.values():
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)
    else:
        yield value


def rewritten(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same JSON value with every leaf changed."""
    if isinstance(value, dict):
        return {name: rewritten(member, change) for name, member in value.items()}
    return [rewritten(member, change) for member in value] if isinstance(value, list) else change(value)


def read(content: bytes) -> Any:
    """The JSON value of a body, or None where it is none."""
    try:
        return msgspec.json.decode(content)
    except UNREADABLE:
        return None


def is_word(leaf: Any, word: str) -> bool:
    """Whether a leaf is that word, in whatever case; a number counts as its digits."""
    return not isinstance(leaf, bool) and leaf is not None and str(leaf).casefold() == word.casefold()


def carries(content: bytes, word: str) -> bool:
    """Whether a body says a word: as a leaf, or within a text."""
    body = read(content)
    said = [str(leaf) for leaf in leaves(body)] if body is not None else [content.decode("utf-8", "replace")]
    return any(word.casefold() in text.casefold() for text in said)


def with_unheard_word(content: bytes, word: str) -> bytes | None:
    """The body with another word in the place of this one, or None where it is in no place of its own."""

    def change(leaf: Any) -> Any:
        return _unheard(leaf) if is_word(leaf, word) else leaf

    body = read(content)
    if body is None or not any(is_word(leaf, word) for leaf in leaves(body)):
        return None
    return msgspec.json.encode(rewritten(body, change))


def _unheard(leaf: Any) -> Any:
    if isinstance(leaf, str):
        return str(UNHEARD_NUMBER) if leaf.isdigit() else UNHEARD
    return UNHEARD_NUMBER


def with_more_members(content: bytes) -> bytes | None:
    """The body with a member nobody knows in each of its objects."""

    def more(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{name: more(member) for name, member in value.items()}, "unheardOf": {"a": [1, None]}}
        return [more(member) for member in value] if isinstance(value, list) else value

    body = read(content)
    return msgspec.json.encode(more(body)) if isinstance(body, dict | list) else None


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The body with each of its members missing, null, or of another type, one at a time."""
    body = read(content)
    if isinstance(body, dict | list):
        for path, variant in _damaged(body):
            yield path, msgspec.json.encode(variant)


def _damaged(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield f"{name} missing", {key: other for key, other in value.items() if key != name}
            for what, instead in (("null", None), ("an object", {}), ("a list", []), ("a number", -1), ("a text", "?")):
                yield f"{name} {what}", {**value, name: instead}
            yield from ((f"{name}.{path}", {**value, name: changed}) for path, changed in _damaged(member))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            for path, changed in _damaged(member):
                yield f"{index}.{path}", [*value[:index], changed, *value[index + 1 :]]


def reshaped(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The body as gateways in between were seen to change it: wrapped, with other capitals, in another charset."""
    body = read(content)
    if isinstance(body, dict):
        yield "wrapped", msgspec.json.encode({"return": body})
        yield "with capitals", msgspec.json.encode(_renamed(body, lambda name: name[:1].upper() + name[1:]))
        yield "in lower case", msgspec.json.encode(_renamed(body, str.lower))
        yield "as a text", msgspec.json.encode(content.decode())
        yield "in a list", msgspec.json.encode([body])
        yield "in UTF-16", content.decode().encode("utf-16")
        yield "with a byte order mark", b"\xef\xbb\xbf" + content
    for part in (4, 2):
        yield f"cut to 1/{part}", content[: len(content) // part]
    yield "without its last byte", content[:-1]


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {rename(name): _renamed(member, rename) for name, member in value.items()}
    return [_renamed(member, rename) for member in value] if isinstance(value, list) else value


def with_content(response: HttpResponse, content: bytes) -> HttpResponse:
    """The same answer with another body."""
    return replace(response, content=content)


def numbers(text: str) -> set[str]:
    """Every number that is written in a text."""
    return set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", text))
