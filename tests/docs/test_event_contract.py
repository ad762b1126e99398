"""The contract of events: schemas that hold, only grow, and an AsyncAPI document that the official tools accept."""

import ast
import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from gateway.event_types import EVENT_TYPES
from gateway.payments.model import RefundStatus, Status
from tests.docs import event_schemas
from tests.docs.asyncapi import NOTE, WAYS, asyncapi, document
from tests.docs.event_examples import EXAMPLES
from tests.docs.event_schemas import FOLDER, breaks, components, files, released, validator
from tests.support.parts import CACHE, CHECKOUT

OFFICIAL = Path(__file__).parent / "vendored/asyncapi-3.0.0.json"
PARSER = Path(__file__).parent / "asyncapi_parser.mjs"
PARSER_VERSION = "3.6.3"


# --- Schemas --------------------------------------------------------------------------------------------------------


def test_published_schemas_are_fresh() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert on_disk == files(), "run `make docs`"
    for schema in files().values():
        Draft202012Validator.check_schema(json.loads(schema))


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_type_has_a_schema_that_its_example_keeps(kind: str) -> None:
    check = validator(kind)
    check.validate(EXAMPLES[kind])
    for change in (
        lambda event: event.update(type="payment.lost"),
        lambda event: event.update(sequence="3"),
        lambda event: event.pop("merchant"),
        lambda event: event["data"]["object"].pop("id"),
        lambda event: event["data"]["object"].update(livemode=0),
    ):
        event = copy.deepcopy(EXAMPLES[kind])
        change(event)
        assert not check.is_valid(event)


def test_every_type_that_the_code_emits_is_in_the_table() -> None:
    literal = {
        f"payment.{call.args[1].value}"
        for path in (CHECKOUT / "gateway/payments").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "emit"
        and isinstance(call.args[1], ast.Constant)
    }
    by_status = {f"payment.{each}" for each in Status} - {"payment.pending"}
    of_refunds = {f"refund.{each}" for each in RefundStatus} - {"refund.pending"}
    emitted = literal | by_status | of_refunds | {"payment.created", "refund.created"}
    assert len(literal) == 6
    assert emitted == {kind for kind in EVENT_TYPES if kind.startswith(("payment.", "refund."))}


# --- Compatibility --------------------------------------------------------------------------------------------------


def test_the_schemas_only_grew_since_the_last_release() -> None:
    assert breaks(released(), components()) == []


def _at(schemas: dict[str, Any], path: str) -> Any:
    for word in path.split("/"):
        schemas = schemas[word]
    return schemas


def _without(path: str, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda schemas: _at(schemas, path).pop(name)


def _with(path: str, **words: Any) -> Callable[[dict[str, Any]], object]:
    return lambda schemas: _at(schemas, path).update(words)


PAYMENT = "PaymentObject/properties"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda s: s.pop("payment.expired"), "payment.expired: it is gone"),
        (_without(PAYMENT, "review"), "PaymentObject.properties.review: it is gone"),
        (lambda s: s["PaymentObject"]["required"].remove("amount"), "PaymentObject.required: 'amount' is gone"),
        (_with(f"{PAYMENT}/amount", type="string"), "amount.type: it was 'integer' and is 'string'"),
        (_with(f"{PAYMENT}/amount", maximum=10), "amount.maximum: it was None and is 10"),
        (_with(f"{PAYMENT}/capture", enum=["automatic"]), "capture.enum: it was open"),
        (lambda s: s["Status"]["enum"].remove("expired"), "Status.enum: 'expired' is gone"),
        (lambda s: _at(s, f"{PAYMENT}/country/anyOf").pop(), "country.anyOf: {'type': 'null'} is gone"),
        (lambda s: _at(s, f"{PAYMENT}/method/anyOf").pop(), "method.anyOf: {'$ref': 'Redirect.json'} is gone"),
        (lambda s: _at(s, f"{PAYMENT}/method/anyOf").append({"type": "null"}), "{'type': 'null'} is new"),
        (_with(f"{PAYMENT}/customer", **{"$ref": "Failure.json"}), "customer.$ref: it was 'Customer.json' and is"),
        (
            lambda s: s["payment.created"]["allOf"][1]["properties"]["data"]["properties"]["object"].update(
                {"$ref": "RefundObject.json"}
            ),
            "payment.created.allOf.1.properties.data.properties.object.$ref: it was 'PaymentObject.json'",
        ),
    ],
)
def test_what_a_reader_could_not_take_is_found(change: Callable[[dict[str, Any]], object], found: str) -> None:
    now = copy.deepcopy(components())
    change(now)
    lines = breaks(components(), now)
    assert len(lines) == 1
    assert found in lines[0]


def test_what_only_adds_is_no_break() -> None:
    now = copy.deepcopy(components())
    now["payment.disputed"] = {"title": "payment.disputed"}
    now["PaymentObject"]["properties"]["fee"] = {"type": "integer"}
    now["PaymentObject"]["required"].append("fee")
    now["Status"]["enum"].append("disputed")
    now["Status"]["description"] = "Said in other words."
    now["PaymentObject"]["properties"]["method"]["anyOf"].append({"$ref": "Wallet.json"})
    assert breaks(components(), now) == []


def test_a_release_keeps_its_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_schemas, "RELEASED", tmp_path)
    (tmp_path / "0.0.9.json").write_text("{}")
    event_schemas.main(["release"])
    assert released() == components()


# --- AsyncAPI -------------------------------------------------------------------------------------------------------


def test_the_document_keeps_the_official_schema() -> None:
    shown = yaml.safe_load(asyncapi())
    assert shown == document()
    check = Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))
    check.validate(shown)
    shown["channels"]["stream"]["adress"] = "/v1/events/stream"
    assert not check.is_valid(shown)


def test_every_type_is_on_every_topic_and_every_reference_leads_somewhere() -> None:
    shown = document()
    for name in ("payments.events", "payments.events.test"):
        assert list(shown["channels"][name]["messages"]) == list(EVENT_TYPES)
    assert [each["channel"]["$ref"] for each in shown["operations"].values()] == [f"#/channels/{name}" for name in WAYS]
    for ref in set(_refs(shown)):
        _at(shown, ref.removeprefix("#/"))


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for each in value.values() for ref in _refs(each)]
    return [ref for each in value for ref in _refs(each)] if isinstance(value, list) else []


def test_the_official_parser_has_nothing_to_say(tmp_path: Path) -> None:
    """Where Node and npm are; elsewhere the official schema, above, is what is asked."""
    if shutil.which("npm") is None or not _install_parser():
        pytest.skip("The official parser of AsyncAPI needs Node, npm, and a registry that answers.")
    file = tmp_path / "asyncapi.yaml"
    argv = ["node", str(PARSER), str(CACHE / "asyncapi"), str(file)]
    file.write_text(asyncapi(), encoding="utf-8")
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said == f"{len(EVENT_TYPES) + 2} messages\n"
    file.write_text(asyncapi().removeprefix(NOTE).replace("action: send", "action: shout"), encoding="utf-8")
    assert "operations" in subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout


def _install_parser() -> bool:
    """Into the checkout's cache, once."""
    folder = CACHE / "asyncapi"
    installed = folder / "node_modules/@asyncapi/parser/package.json"
    if installed.exists() and json.loads(installed.read_text())["version"] == PARSER_VERSION:
        return True
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"]
    return (
        subprocess.run([*argv, f"@asyncapi/parser@{PARSER_VERSION}"], capture_output=True, timeout=120).returncode == 0
    )
