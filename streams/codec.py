"""What our own topics carry, and reading it without ever raising.

A message only names rows: everything else is read from Postgres, so an old message is never stale and a forged one
moves no money. Messages evolve by adding fields: readers ignore those they do not know, and every new field has a
default.
"""

from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from providers.contract import Verb

OperationId: TypeAlias = Annotated[str, Meta(pattern="^op_[0-9a-z]{26}$")]
RootId: TypeAlias = Annotated[str, Meta(pattern="^(pay|pout)_[0-9a-z]{26}$")]
AccountId: TypeAlias = Annotated[str, Meta(pattern="^acc_[0-9a-z]{26}$")]
CallbackId: TypeAlias = Annotated[str, Meta(pattern="^cb_[0-9a-z]{26}$")]

T = TypeVar("T", bound=Struct)


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Carry out a prepared operation. `payment` is its root (a payout's id for payouts).

    `waiter` names the API process in which a client waits for the outcome.
    """

    operation: OperationId
    payment: RootId
    account: AccountId
    verb: Verb
    waiter: str | None = None


class CallbackReceived(Struct, frozen=True, kw_only=True):
    """A provider's callback was stored and waits to be read."""

    callback: CallbackId
    provider: str


class Malformed(Struct, frozen=True):
    """Bytes from which no message can be read; `reason` shows none of their content."""

    reason: str


_ENCODER: Final = msgspec.json.Encoder()


def encode(message: Command | CallbackReceived) -> bytes:
    """The message as JSON."""
    return _ENCODER.encode(message)


def decode(kind: type[T], data: bytes | None) -> T | Malformed:
    """The message of that kind; anything else is `Malformed`, whatever the bytes are. Never raises."""
    if not data:
        return Malformed("the record has no value")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Malformed(f"{type(error).__name__}: not a {kind.__name__}{_place(error)}")


def _place(error: Exception) -> str:
    """Where msgspec stumbled (" - at `$.verb`"); the rest of its words may quote the data."""
    return str(error)[place:] if (place := str(error).rfind(" - at `$")) >= 0 else ""
