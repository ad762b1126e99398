"""A provider that keeps its declared promises and lies wherever it made none; its ledger is the judge."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from gateway.payments.model import Operation
from providers.contract import Absent, Declined, Outcome, Pending, ProviderSpec, Succeeded, Unknown, Verb
from providers.declines import DeclineCode


class Behaviour(StrEnum):
    """What becomes of one request for money."""

    CHARGE = "charge"  # charged, and said so
    DECLINE = "decline"
    LATER = "later"  # pending; charged in a while
    NEVER = "never"  # pending for ever
    CHARGE_SILENTLY = "charge_silently"  # charged, and the answer is lost
    LOSE = "lose"  # nothing happened, and the answer is lost
    DELAY = "delay"  # the answer is lost, and the request is carried out later than that
    REFUSE_LATE = "refuse_late"  # said no, and charged after all
    FREEZE = "freeze"  # never sent: the worker froze before, and says so when it wakes


class Entry(Struct):
    """What the provider knows under one reference."""

    state: str  # charged, declined, pending, delayed
    charges: int
    since: datetime
    charges_at: datetime | None = None
    behaviour: Behaviour = Behaviour.CHARGE


class Liar:
    """One provider. `ledger` counts the charges of each reference; nothing else decides who is right."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.spec = spec
        uncertainty = spec.verbs[Verb.CHARGE].uncertainty
        self.idempotent = uncertainty.idempotency != "none"
        self.absence_s = uncertainty.absence_after_s
        self.ledger: dict[str, Entry] = {}

    def receive(self, operation: Operation, behaviour: Behaviour, now: datetime) -> Outcome:
        """Carry out a request for money; the outcome is what the transport would tell."""
        self.settle(now)
        known = self.ledger.get(operation.reference)
        if known is not None and self.idempotent:
            return self._word(known)
        if known is not None:  # no idempotency promised: the same reference charges again
            known.charges += 1
            return Succeeded()
        if behaviour is Behaviour.LOSE:
            return Unknown(detail="timeout")
        entry = self.ledger[operation.reference] = _ENTRIES[behaviour](now, self._delay_s())
        entry.behaviour = behaviour
        lost = behaviour in (Behaviour.CHARGE_SILENTLY, Behaviour.DELAY)
        return Unknown(detail="timeout") if lost else self._word(entry)

    def look_up(self, reference: str, now: datetime) -> Outcome:
        """What a query is told: the truth, or "not found" while that is not yet a promise."""
        self.settle(now)
        entry = self.ledger.get(reference)
        if entry is None or entry.state == "delayed":
            return Absent()
        return self._word(entry)

    def settle(self, now: datetime) -> None:
        """What was to happen by now has happened."""
        for entry in self.ledger.values():
            if entry.charges_at is not None and entry.charges_at <= now:
                entry.state, entry.charges, entry.charges_at = "charged", entry.charges + 1, None

    def _delay_s(self) -> float:
        """A request may be carried out late, but not later than "not found" is declared to be final."""
        return 3600.0 if self.absence_s is None else self.absence_s * 0.9

    def _word(self, entry: Entry) -> Outcome:
        if entry.state == "charged":
            return Succeeded()
        return Declined(code=DeclineCode.DECLINED) if entry.state == "declined" else Pending()


_ENTRIES = {
    Behaviour.CHARGE: lambda now, delay: Entry("charged", 1, now),
    Behaviour.DECLINE: lambda now, delay: Entry("declined", 0, now),
    Behaviour.LATER: lambda now, delay: Entry("pending", 0, now, now + timedelta(seconds=20)),
    Behaviour.NEVER: lambda now, delay: Entry("pending", 0, now),
    Behaviour.CHARGE_SILENTLY: lambda now, delay: Entry("charged", 1, now),
    Behaviour.DELAY: lambda now, delay: Entry("delayed", 0, now, now + timedelta(seconds=delay)),
    Behaviour.REFUSE_LATE: lambda now, delay: Entry("declined", 0, now, now + timedelta(seconds=30)),
}
