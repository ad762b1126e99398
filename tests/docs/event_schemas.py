"""JSON Schemas of everything that subscribers are sent, made from the Structs that encode it.

docs/reference/schemas/ has them as they are now: one for each event type, and one for each object that they carry.
docs/reference/schemas/released/ has them as they were released, one file for each version; `breaks` tells what a reader
of those could not take. A release adds its file: `python -m tests.docs.event_schemas release`.
"""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.event_types import EVENT_TYPES
from gateway.payments.views import EventObject

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
FOLDER: Final = Path(__file__).parents[2] / "docs/reference/schemas"
RELEASED: Final = FOLDER / "released"
ENVELOPE: Final = "EventObject"

Schema = dict[str, Any]


def components(ref: str = "{name}.json") -> dict[str, Schema]:
    """Every schema by its name: the event types, the envelope, the objects and what is in them."""
    carried = {each.carries: None for each in EVENT_TYPES.values()}
    _, found = msgspec.json.schema_components([EventObject, *carried], ref_template=ref)
    found.pop("EventData")
    found[ENVELOPE]["properties"]["data"] = {
        "type": "object",
        "properties": {"object": {"type": "object"}},
        "required": ["object"],
    }
    objects = {name: _always_there(schema) for name, schema in sorted(found.items())}
    return {name: _event(name, ref) for name in EVENT_TYPES} | objects


def _event(name: str, ref: str) -> Schema:
    kind = EVENT_TYPES[name]
    carried = {"properties": {"object": {"$ref": ref.format(name=kind.carries.__name__)}}}
    return {
        "title": name,
        "description": kind.meaning,
        "allOf": [{"$ref": ref.format(name=ENVELOPE)}, {"properties": {"type": {"const": name}, "data": carried}}],
    }


def _always_there(schema: Schema) -> Schema:
    """What is sent has every member, those with a default too."""
    if "properties" not in schema:
        return schema
    members = {name: _plain(each) for name, each in schema["properties"].items()}
    return {**schema, "properties": members, "required": list(members)}


def _plain(value: Any) -> Any:
    """Without the default, which is for who makes one, and the discriminator, which is no JSON Schema."""
    if isinstance(value, dict):
        return {word: _plain(each) for word, each in value.items() if word not in ("default", "discriminator")}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def files() -> dict[str, str]:
    """The files of docs/reference/schemas/ and their content."""
    return {f"{name}.json": _text({"$schema": DRAFT, **schema}) for name, schema in components().items()}


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def validator(name: str) -> Draft202012Validator:
    """What checks an event, or an object, against its published file."""
    read = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}
    resources = ((file, Resource.from_contents(schema)) for file, schema in read.items())
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator(read[f"{name}.json"], registry=registry)


# --- Compatibility --------------------------------------------------------------------------------------------------

_WORDS: Final = frozenset({"title", "description", "examples", "$schema"})  # say nothing about what is valid


def released() -> dict[str, Schema]:
    """The schemas of the last release."""
    newest = max(RELEASED.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])
    return dict(json.loads(newest.read_text(encoding="utf-8")))


def breaks(before: dict[str, Schema], now: dict[str, Schema]) -> list[str]:
    """What a reader of the schemas `before` may not be able to take of what is sent `now`, one line each.

    It must take new event types, new members, new values of an enumeration and new tagged alternatives, and nothing
    else: what was there stays there, with its type and its values.
    """
    lines = [f"{name}: it is gone" for name in before.keys() - now.keys()]
    for name in sorted(before.keys() & now.keys()):
        lines += _differences(before[name], now[name], name)
    return lines


def _differences(before: Any, now: Any, where: str) -> Iterator[str]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        if before != now:
            yield f"{where}: it was {before!r} and is {now!r}"
        return
    for word in sorted((before.keys() | now.keys()) - _WORDS):
        yield from _COMPARED.get(word, _same)(before.get(word), now.get(word), f"{where}.{word}")


def _same(before: Any, now: Any, where: str) -> Iterator[str]:
    """Of a word that may not change, at whatever depth a schema hangs from it."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from _differences(before, now, where)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(one, other, f"{where}.{number}")
    elif before != now:
        yield f"{where}: it was {before!r} and is {now!r}"


def _members(before: Any, now: Any, where: str) -> Iterator[str]:
    for name, schema in (before or {}).items():
        if name not in (now or {}):
            yield f"{where}.{name}: it is gone"
        else:
            yield from _differences(schema, now[name], f"{where}.{name}")


def _kept(before: Any, now: Any, where: str) -> Iterator[str]:
    """Of a list of values that may grow."""
    if before is None and now is not None and where.endswith(".enum"):
        yield f"{where}: it was open"
    for value in before or ():
        if value not in (now or ()):
            yield f"{where}: {value!r} is gone"


def _alternatives(before: Any, now: Any, where: str) -> Iterator[str]:
    """References to tagged objects may be added; null, or another type, may not."""
    were, are = list(_flat(before)), list(_flat(now))
    yield from (f"{where}: {each} is gone" for each in were if each not in are)
    yield from (f"{where}: {each} is new" for each in are if each not in were and (not were or "$ref" not in each))


def _flat(alternatives: Any) -> Iterator[Any]:
    """Alternatives within alternatives are alternatives."""
    for each in alternatives or ():
        yield from _flat(each["anyOf"]) if "anyOf" in each else [each]


_COMPARED: Final = {
    "properties": _members,
    "required": _kept,
    "enum": _kept,
    "anyOf": _alternatives,
}


def main(arguments: list[str]) -> None:
    """Keep the schemas of this version as released."""
    if arguments != ["release"]:
        raise SystemExit("python -m tests.docs.event_schemas release")
    (RELEASED / f"{version('mypay')}.json").write_text(_text(components()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
