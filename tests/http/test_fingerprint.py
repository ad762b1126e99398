"""The fingerprint: the same for the same request however it is written, another for any other value."""

import json
from typing import Any

import msgspec
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.json_body import fingerprint
from gateway.http.strict_json import parse
from tests.http.test_strict_bodies import GOOD
from tests.http.wire import Wire

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
BMP = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00", max_codepoint=0xFFFF), max_size=12)


def values(names: "st.SearchStrategy[str]") -> "st.SearchStrategy[Any]":
    """JSON without fractions."""
    leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8
    )


def of(value: Any, method: str = "POST", route: str = "/v1/payments", **params: str) -> bytes:
    """The fingerprint of a body."""
    return fingerprint(method, route, params, value)


@given(values(TEXT), st.booleans(), st.sampled_from([None, 2]))
def test_spelling_makes_no_difference(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert of(parse(text.encode())) == of(value)


@given(st.dictionaries(TEXT, values(TEXT), max_size=4))
def test_order_makes_no_difference(value: dict[str, Any]) -> None:
    assert of(dict(reversed(value.items()))) == of(value)


@given(values(TEXT), values(TEXT))
def test_another_value_makes_a_difference(one: Any, other: Any) -> None:
    assert (of(one) == of(other)) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@given(values(BMP))
def test_the_canonical_form_is_that_of_rfc_8785(value: Any) -> None:
    assert msgspec.json.encode(value, order="sorted") == rfc8785.dumps(value)


def test_method_route_and_parameters_count() -> None:
    prints = {
        of({}),
        of({}, "PUT"),
        of({}, route="/v1/refunds"),
        of({}, id="pay_1"),
        of({}, id="pay_2"),
        of({}, other="pay_1"),
    }
    assert len(prints) == 6


def test_over_the_wire(wire: Wire) -> None:
    first = wire.post(json.dumps(GOOD).encode()).json["fingerprint"]
    shuffled = json.dumps(dict(reversed(GOOD.items())), indent=1).encode()
    assert wire.post(shuffled, key="other").json["fingerprint"] == first
    assert wire.post(json.dumps({**GOOD, "amount": 1501}).encode()).json["fingerprint"] != first
    assert wire.post(json.dumps({**GOOD, "description": None}).encode()).json["fingerprint"] != first
    one, other = (wire.post(b"{}", f"/v1/payments/pay_{n}/verify").json["fingerprint"] for n in (1, 2))
    assert one != other
