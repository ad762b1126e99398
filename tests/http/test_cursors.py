"""Cursors, the list envelope, and strict query parameters."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ids
from gateway.http.cursors import AfterId, AfterPosition, decode, encode, page
from gateway.payments.errors import MyPayError
from tests.http.wire import Wire

NIL = encode(AfterId(ids.NIL))


@given(st.uuids())
def test_an_id_comes_back(value: UUID) -> None:
    assert decode(AfterId, encode(AfterId(value))).id == value


@given(st.integers(0, 2**63 - 1))
def test_a_position_comes_back(position: int) -> None:
    assert decode(AfterPosition, encode(AfterPosition(position))).position == position


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.text("ABCDwxyz0189-_=", max_size=120))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MyPayError, match="invalid_cursor"):
        assert encode(decode(AfterId, text)) != text
    with pytest.raises(MyPayError, match="invalid_cursor"):
        assert encode(decode(AfterPosition, text)) != text


@pytest.mark.parametrize("text", [NIL + "=", NIL + "A", NIL[:-1], NIL + "\n", NIL.swapcase(), "", "A" * 1000, "é"])
def test_a_damaged_cursor_is_refused(text: str) -> None:
    with pytest.raises(MyPayError, match="invalid_cursor"):
        decode(AfterId, text)


def test_another_lists_cursor_is_refused() -> None:
    with pytest.raises(MyPayError, match="invalid_cursor"):
        decode(AfterPosition, NIL)
    with pytest.raises(MyPayError, match="invalid_cursor"):
        decode(AfterId, encode(AfterPosition(1)))


def test_the_envelope() -> None:
    assert json.loads(page([b'{"a":1}', b'{"a":2}'], has_more=True, following=AfterPosition(7))) == {
        "object": "list",
        "data": [{"a": 1}, {"a": 2}],
        "has_more": True,
        "next": encode(AfterPosition(7)),
    }
    assert json.loads(page([], has_more=False, following=None))["next"] is None


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "/limit", "out_of_range"),
        ("limit=101", "/limit", "out_of_range"),
        ("limit=x", "/limit", "wrong_type"),
        ("limit=", "/limit", "wrong_type"),
        ("limit", "/limit", "wrong_type"),
        ("limit=1.5", "/limit", "wrong_type"),
        ("limit=1&limit=1", "/limit", "duplicate"),
        ("after=a&after=a", "/after", "duplicate"),
        ("Limit=1", "/Limit", "unknown_field"),
        ("offset=1", "/offset", "unknown_field"),
        ("a/b~=1", "/a~1b~0", "unknown_field"),
        ("=1", "/", "unknown_field"),
        ("amount=1&amount=2", "/amount", "duplicate"),
        ("status=%00", "", "invalid"),
        ("status=%ff", "", "invalid"),
        ("status=%ed%a0%80", "", "invalid"),
        ("&".join(f"status={n}" for n in range(101)), "", "invalid"),
    ],
)
def test_a_bad_query(wire: Wire, query: str, pointer: str, code: str) -> None:
    answer = wire.ask("GET", f"/v1/payments?{query}")
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", (pointer, code))


def test_a_good_query(wire: Wire) -> None:
    answer = wire.ask("GET", f"/v1/payments?status=a&limit=100&status=b%26&after={NIL}&amount=5")
    assert (answer.status, [each["status"] for each in answer.json["data"]]) == (200, ["a", "b&"])
    assert answer.json["next"] == NIL


@pytest.mark.parametrize("after", ["x", "%00", "", NIL + "%3D"])
def test_a_bad_cursor_over_the_wire(wire: Wire, after: str) -> None:
    answer = wire.ask("GET", f"/v1/payments?after={after}")
    assert (answer.status, answer.code) == (400, "invalid_request" if after == "%00" else "invalid_cursor")
