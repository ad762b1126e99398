"""What an unknown permits: each row of the table of `gateway.payments.decisions`, and its times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.payments import decisions
from gateway.payments.decisions import AFTER_UNKNOWN, REASK_S, Next, after_unknown
from gateway.payments.model import Operation
from providers.contract import QuerySchedule, Uncertainty, Verb
from providers.registry import PROVIDERS
from tests.support.payments import new_payment

SENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR_S = 3600


def operation(**known: Any) -> Operation:
    made = new_payment("decisions", now=SENT).operation
    for name, value in known.items():
        setattr(made, name, value)
    return made


# lookup, idempotency, window_s, seconds since the first send → what is permitted
ROWS = [
    ("authoritative", "none", None, 1, Next.ASK),
    ("authoritative", "key", None, 1, Next.ASK),
    ("authoritative", "reference", HOUR_S, 1, Next.ASK),
    ("authoritative", "key", HOUR_S, 10 * HOUR_S, Next.ASK),
    ("unsupported", "key", None, 1, Next.RESEND),
    ("unsupported", "reference", None, 10**8, Next.RESEND),
    ("unsupported", "key", HOUR_S, 50 * 60 - 1, Next.RESEND),
    ("unsupported", "key", HOUR_S, 50 * 60, Next.WAIT),  # the margin: it must arrive well within the window
    ("unsupported", "reference", HOUR_S, 2 * HOUR_S, Next.WAIT),
    ("unsupported", "none", None, 1, Next.WAIT),
    ("unsupported", "none", HOUR_S, 1, Next.WAIT),
]


@pytest.mark.parametrize(("lookup", "idempotency", "window_s", "age_s", "permitted"), ROWS)
def test_after_unknown(lookup: Any, idempotency: Any, window_s: int | None, age_s: int, permitted: Next) -> None:
    uncertainty = Uncertainty(idempotency=idempotency, lookup=lookup, window_s=window_s)
    assert after_unknown(uncertainty, SENT, SENT + timedelta(seconds=age_s)) is permitted


def test_the_table_is_complete() -> None:
    assert set(AFTER_UNKNOWN) == {
        (lookup, again) for lookup in ("authoritative", "unsupported") for again in (True, False)
    }


def test_what_was_never_sent_is_no_resend() -> None:
    assert after_unknown(Uncertainty(idempotency="key", lookup="unsupported"), None, SENT) is Next.WAIT


@pytest.mark.parametrize(
    ("declared_s", "known", "asked_s", "proof"),
    [
        (None, {"answered_at": SENT}, 10**8, False),  # it never proves anything
        (2, {"answered_at": SENT}, 1.999, False),
        (2, {"answered_at": SENT}, 2, True),
        (0, {"answered_at": SENT}, 0, True),
        (2, {"lease_until": SENT}, 1.999, False),  # nobody answered: it may have been sent until the lease's end
        (2, {"lease_until": SENT}, 2, True),
        (2, {"answered_at": SENT + timedelta(seconds=9), "lease_until": SENT}, 10, False),
        (2, {}, 10**8, False),  # we do not know since when
        (2, {"answered_at": SENT}, None, False),  # nor when it was asked
    ],
)
def test_absence(declared_s: float | None, known: dict[str, Any], asked_s: float | None, proof: bool) -> None:
    uncertainty = Uncertainty(idempotency="none", lookup="authoritative", absence_after_s=declared_s)
    asked_at = None if asked_s is None else SENT + timedelta(seconds=asked_s)
    assert decisions.absence_is_proof(uncertainty, operation(**known), asked_at, pace=1.0) is proof


def test_the_pace_shortens_the_providers_promises_only() -> None:
    uncertainty = Uncertainty(idempotency="none", lookup="authoritative", absence_after_s=2)
    asked_at = SENT + timedelta(seconds=0.2)
    assert decisions.absence_is_proof(uncertainty, operation(answered_at=SENT), asked_at, pace=0.1)
    assert not decisions.absence_is_proof(uncertainty, operation(answered_at=SENT), asked_at, pace=0.2)


def test_the_schedule_of_questions() -> None:
    schedule = QuerySchedule(delays_s=(1, 20, 40), every_s=300, min_interval_s=5)
    assert [decisions.query_delay_s(schedule, n, 1.0) for n in range(5)] == [5, 20, 40, 300, 300]
    assert decisions.query_delay_s(schedule, 1, 0.5, spread=1.0) == pytest.approx(11)


def test_closed_by_absence_is_asked_about_twice() -> None:
    def due(seconds: float) -> float | None:
        at = decisions.reask_at(SENT, SENT + timedelta(seconds=seconds), 1.0)
        return None if at is None else (at - SENT).total_seconds()

    first, second = REASK_S
    assert [due(0), due(first - 1), due(first), due(second - 1), due(second)] == [first, first, second, second, None]


def test_the_waits_before_another_send_grow() -> None:
    waits = [decisions.retry_delay_s(sends, 1.0) for sends in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[0] >= 0.5
    assert waits[-1] == 60


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_provider_of_ours_permits_a_blind_second_send(name: str) -> None:
    """Each can be asked; if one cannot, it must promise idempotency for the send that would follow."""
    for verb, spec in PROVIDERS[name].verbs.items():
        if verb is not Verb.QUERY and spec.uncertainty.idempotency == "none":
            assert after_unknown(spec.uncertainty, SENT, SENT) is not Next.RESEND
