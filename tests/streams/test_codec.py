"""Our messages survive the trip, and nothing that arrives makes the decoder raise."""

import pytest

from gateway import ids
from providers.contract import Verb
from streams.codec import CallbackReceived, Command, Malformed, decode, encode

COMMAND = Command(
    operation=ids.show(ids.OPERATION, ids.new(7)),
    payment=ids.show(ids.PAYMENT, ids.new(7)),
    account=ids.show(ids.ACCOUNT, ids.new()),
    verb=Verb.CHARGE,
)


def test_a_command_is_read_back() -> None:
    waiting = Command(
        operation=COMMAND.operation,
        payment=ids.show(ids.PAYOUT, ids.new(7)),
        account=COMMAND.account,
        verb=Verb.PAYOUT,
        waiter="host-1",
    )
    for command in (COMMAND, waiting):
        assert decode(Command, encode(command)) == command


def test_a_callback_is_read_back() -> None:
    received = CallbackReceived(callback=ids.show(ids.CALLBACK, ids.new()), provider="cpay")
    assert decode(CallbackReceived, encode(received)) == received


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode(Command, encode(COMMAND)[:-1] + b',"priority":3}') == COMMAND


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"operation":"\xff"}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"x" * 1_000_000,
        encode(COMMAND) + b"{}",
        encode(COMMAND).replace(b"charge", b"steal"),
        encode(COMMAND).replace(b"op_", b"ref_"),
        encode(COMMAND).replace(b"pay_", b"pay_1"),
    ],
)
def test_whatever_else_arrives_is_malformed(data: bytes | None) -> None:
    assert isinstance(decode(Command, data), Malformed)


def test_the_reason_tells_where_and_quotes_nothing() -> None:
    found = decode(Command, encode(COMMAND).replace(b'"charge"', b'"4111111111111111"'))
    assert isinstance(found, Malformed)
    assert found.reason == "ValidationError: not a Command - at `$.verb`"
