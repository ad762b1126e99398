"""`Prefer: wait=N`, and that nothing malformed is an error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.prefer import LONGEST_WAIT_S, applied, wait_s
from tests.http.test_strict_bodies import OPEN
from tests.http.wire import Wire


def scope(*values: bytes) -> Any:
    """An ASGI scope with one header line for each value."""
    return {"headers": [(b"prefer", value) for value in values]}


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], 0),
        ([b"wait=10"], 10),
        ([b"Wait = 10"], 10),
        ([b'wait="10"'], 10),
        ([b"wait=0"], 0),
        ([b"wait=30"], 30),
        ([b"wait=31"], 30),
        ([b"wait=" + b"9" * 300], 30),
        ([b"respond-async, wait=5"], 5),
        ([b"respond-async", b"wait=5"], 5),
        ([b"wait=5; until=later"], 5),
        ([b"wait=5, wait=9"], 5),
        ([b'note="a, wait=9", wait=5'], 5),
        ([b"wait=x, wait=9"], 0),
        ([b"wait"], 0),
        ([b"wait="], 0),
        ([b"wait=-1"], 0),
        ([b"wait=1.5"], 0),
        ([b"wait=1e1"], 0),
        ([b"wait=\xb2"], 0),
        ([b"waits=5"], 0),
        ([b'wait="5'], 0),
        ([b",,;=,"], 0),
        ([b"wait=5," + b"x" * 600], 0),
    ],
)
def test_seconds(lines: list[bytes], seconds: int) -> None:
    assert wait_s(scope(*lines)) == seconds


@given(st.lists(st.binary(max_size=600), max_size=3))
def test_whatever_comes_is_a_time_within_bounds(lines: list[bytes]) -> None:
    assert 0 <= wait_s(scope(*lines)) <= LONGEST_WAIT_S


def test_what_was_applied_is_said(wire: Wire) -> None:
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k"), ("Prefer", "wait=45")]
    answer = wire.ask("POST", "/v1/payments", OPEN + b"}", headers)
    assert (answer.json["wait"], answer.headers["preference-applied"]) == (30, "wait=30")
    assert applied(0) == {}
