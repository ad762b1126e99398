"""The three state machines, as complete tables of literal cells.

A cell is a new state; or `STALE` (late or duplicate: counted, ignored); or `REFUSE` (it contradicts what we believe:
recorded, sent to review, never dropped). There is no default: a missing cell fails at import. Evidence about an
operation that we believe unsent moves it too: after a restore from backup the provider knows more than we do.
"""

from enum import StrEnum
from typing import Final, Literal, TypeAlias

from gateway.payments.model import RefundStatus, State, Status

STALE: Final = "stale"
REFUSE: Final = "refuse"
Verdict: TypeAlias = Literal["stale", "refuse"]


class OperationFact(StrEnum):
    """What can be learned about one operation."""

    CLAIMED = "claimed"  # a worker takes it, to send it
    SUCCEEDED = "succeeded"
    AUTHORIZED = "authorized"
    ACTION = "action"  # the payer must act
    PENDING = "pending"
    DECLINED = "declined"
    RETRYABLE = "retryable"  # proven to have had no effect: it may be sent (again)
    NOT_SENT = "not_sent"  # proven to have had no effect, and given up
    UNKNOWN = "unknown"
    LAPSED = "lapsed"  # the payment expired


class PaymentFact(StrEnum):
    """What the operations' facts mean for their payment."""

    SENT = "sent"
    ACTION = "action"
    CONFIRMED = "confirmed"  # the payer acted; not final yet
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    LATE_SUCCEEDED = "late_succeeded"
    LATE_AUTHORIZED = "late_authorized"
    DECLINED = "declined"
    CANCELED = "canceled"
    EXPIRED = "expired"
    CONTRADICTED = "contradicted"  # a failure word after success


class RefundFact(StrEnum):
    """What its operation's facts mean for a refund."""

    SENT = "sent"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"


_P, _S, _OK, _AU, _AR, _PE, _DE, _UN, _NS, _LA, _LS = (
    State.PREPARED,
    State.SENT,
    State.SUCCEEDED,
    State.AUTHORIZED,
    State.ACTION_REQUIRED,
    State.PENDING,
    State.DECLINED,
    State.UNKNOWN,
    State.NOT_SENT,
    State.LAPSED,
    State.LATE_SUCCEEDED,
)

# fmt: off
_OPERATION_ROWS: Final[dict[State, tuple[State | Verdict, ...]]] = {
    #      claimed  succeeded  authorized  action  pending  declined  retryable  not_sent  unknown  lapsed
    _P:   (_S,      _OK,       _AU,        _AR,    _PE,     _DE,      STALE,     _NS,      STALE,   STALE),
    _S:   (STALE,   _OK,       _AU,        _AR,    _PE,     _DE,      _P,        _NS,      _UN,     STALE),
    _UN:  (_S,      _OK,       _AU,        _AR,    _PE,     _DE,      _P,        _NS,      STALE,   STALE),
    _PE:  (STALE,   _OK,       _AU,        _AR,    STALE,   _DE,      STALE,     STALE,    STALE,   _LA),
    _AR:  (STALE,   _OK,       _AU,        _AR,    _PE,     _DE,      STALE,     STALE,    STALE,   _LA),
    _AU:  (STALE,   REFUSE,    STALE,      STALE,  STALE,   _DE,      STALE,     STALE,    STALE,   STALE),
    _OK:  (STALE,   STALE,     STALE,      STALE,  STALE,   REFUSE,   STALE,     STALE,    STALE,   STALE),
    _DE:  (STALE,   _LS,       REFUSE,     STALE,  STALE,   STALE,    STALE,     STALE,    STALE,   STALE),
    _NS:  (STALE,   _LS,       REFUSE,     STALE,  STALE,   STALE,    STALE,     STALE,    STALE,   STALE),
    _LA:  (STALE,   _LS,       REFUSE,     STALE,  STALE,   _DE,      STALE,     STALE,    STALE,   STALE),
    _LS:  (STALE,   STALE,     STALE,      STALE,  STALE,   REFUSE,   STALE,     STALE,    STALE,   STALE),
}

_PEN, _PRO, _ACT, _AUT, _SUC, _FAI, _CAN, _EXP = Status

_PAYMENT_ROWS: Final[dict[Status, tuple[Status | Verdict, ...]]] = {
    #      sent   action confirmed authorized succeeded late_succ. late_auth. declined canceled expired contradicted
    _PEN: (_PRO,  _ACT,  _PRO,      _AUT,       _SUC,      _SUC,       REFUSE,    _FAI,     _CAN,     _EXP,    REFUSE),
    _PRO: (STALE, _ACT,  STALE,     _AUT,       _SUC,      _SUC,       REFUSE,    _FAI,     _CAN,     _EXP,    REFUSE),
    _ACT: (STALE, _ACT,  _PRO,      _AUT,       _SUC,      _SUC,       REFUSE,    _FAI,     _CAN,     _EXP,    REFUSE),
    _AUT: (STALE, STALE, STALE,     STALE,      _SUC,      REFUSE,     REFUSE,    _FAI,     _CAN,     STALE,   REFUSE),
    _SUC: (STALE, STALE, STALE,     STALE,      STALE,     REFUSE,     REFUSE,    STALE,    REFUSE,   STALE,   REFUSE),
    _FAI: (STALE, STALE, STALE,     REFUSE,     _SUC,      _SUC,       REFUSE,    STALE,    STALE,    STALE,   REFUSE),
    _CAN: (STALE, STALE, STALE,     REFUSE,     _SUC,      _SUC,       REFUSE,    STALE,    STALE,    STALE,   REFUSE),
    _EXP: (STALE, STALE, STALE,     REFUSE,     _SUC,      _SUC,       REFUSE,    STALE,    STALE,    STALE,   REFUSE),
}

_RPE, _RPR, _RSU, _RFA = RefundStatus

_REFUND_ROWS: Final[dict[RefundStatus, tuple[RefundStatus | Verdict, ...]]] = {
    #      sent   succeeded  declined
    _RPE: (_RPR,  _RSU,      _RFA),
    _RPR: (STALE, _RSU,      _RFA),
    _RSU: (STALE, STALE,     REFUSE),
    _RFA: (STALE, _RSU,      STALE),
}
# fmt: on


def _operation_table() -> dict[tuple[State, OperationFact], State | Verdict]:
    return {(s, f): cell for s, row in _OPERATION_ROWS.items() for f, cell in zip(OperationFact, row, strict=True)}


def _payment_table() -> dict[tuple[Status, PaymentFact], Status | Verdict]:
    return {(s, f): cell for s, row in _PAYMENT_ROWS.items() for f, cell in zip(PaymentFact, row, strict=True)}


def _refund_table() -> dict[tuple[RefundStatus, RefundFact], RefundStatus | Verdict]:
    return {(s, f): cell for s, row in _REFUND_ROWS.items() for f, cell in zip(RefundFact, row, strict=True)}


OPERATION_TABLE: Final = _operation_table()
PAYMENT_TABLE: Final = _payment_table()
REFUND_TABLE: Final = _refund_table()

if (len(_OPERATION_ROWS), len(_PAYMENT_ROWS), len(_REFUND_ROWS)) != (len(State), len(Status), len(RefundStatus)):
    raise AssertionError("a state table has a missing row")
