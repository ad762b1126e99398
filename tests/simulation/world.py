"""A whole installation without a machine: the product's own tables and decisions, a virtual clock, lossy channels.

What the database would hold is `payments`; what is under way between processes are lists from which a test may take
anything, in any order, twice, or never.
"""

import copy
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from msgspec import Struct, structs

from gateway.payments.facts import Answer, Ask, Claim, Expire, Fact, LeaseEnded, Proof
from gateway.payments.model import OPEN, Operation, Payment, Root, State
from gateway.payments.transitions import fold
from providers.contract import NotSent, Outcome, ProviderSpec, Uncertainty, Verb
from providers.registry import PROVIDERS
from tests.simulation.liar import Behaviour, Liar
from tests.support.payments import new_payment

LEASE_S = 60.0


class Stored(Struct):
    """One payment as the database holds it."""

    payment: Payment
    operations: dict[UUID, Operation]
    events: int = 1
    owners: dict[str, UUID] = {}


class Late(Struct, frozen=True):
    """An answer on its way from the provider to us."""

    fact: Answer
    until: datetime  # the worker that brings it is dead afterwards


class World:
    """Everything there is. Nothing here is random: the caller chooses."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, tzinfo=UTC)
        self.liars = {name: Liar(spec) for name, spec in SPECS.items()}
        self.stored: dict[UUID, Stored] = {}
        self.commands: list[tuple[UUID, UUID]] = []
        self.answers: list[Late] = []
        self.callbacks: list[tuple[UUID, UUID, Outcome]] = []
        self.sends: dict[str, int] = {}
        self._numbers = count()

    # --- What processes do ------------------------------------------------------------------------------------------

    def accept(self, provider: str, expires_in_s: float) -> None:
        """A merchant posts; the command may be lost at once: the row is there."""
        new = new_payment(f"k{next(self._numbers)}", now=self.now, provider=provider, expires_in_s=expires_in_s)
        self.stored[new.payment.id] = Stored(new.payment, {new.operation.id: new.operation})
        self.commands.append((new.payment.id, new.operation.id))

    def perform(self, command: tuple[UUID, UUID], behaviour: Behaviour, *, crash: bool) -> None:
        """A worker takes a command. `crash`: it dies before it can record what came of it."""
        payment_id, operation_id = command
        owner = f"worker/{next(self._numbers)}"
        operation = self.record(
            Claim(payment_id=payment_id, operation_id=operation_id, owner=owner, lease_s=LEASE_S), operation_id
        )
        if operation is None or operation.owner != owner or operation.state is not State.SENT:
            return
        liar = self.liars[operation.provider]
        outcome: Outcome
        if operation.verb is Verb.QUERY:
            outcome = liar.look_up(operation.reference, self.now)
        elif behaviour is Behaviour.FREEZE:
            outcome = NotSent(detail="the lease was too short when the worker woke")
        else:
            self.sends[operation.reference] = self.sends.get(operation.reference, 0) + 1
            outcome = liar.receive(operation, behaviour, self.now)
            self.callbacks.append((payment_id, operation_id, outcome))
        if not crash:
            answer = Answer(payment_id=payment_id, operation_id=operation_id, fence=operation.fence, outcome=outcome)
            self.answers.append(Late(answer, self.now + timedelta(seconds=LEASE_S)))

    def answer(self, late: Late) -> None:
        """An answer is recorded, however late."""
        self.record(late.fact)

    def call_back(self, callback: tuple[UUID, UUID, Outcome]) -> None:
        """The provider calls back: signed where it signs, else it only makes us ask."""
        payment_id, operation_id, _ = callback
        operation = self.stored[payment_id].operations[operation_id]
        liar = self.liars[operation.provider]
        spec = liar.spec.callback
        if spec is not None and spec.verify is not None:
            outcome = liar.look_up(operation.reference, self.now)
            self.record(Proof(payment_id=payment_id, operation_id=operation_id, outcome=outcome))
        else:
            self.record(Ask(payment_id=payment_id, operation_id=operation_id))

    def sweep(self) -> None:
        """One round of every chore."""
        for payment_id, stored in list(self.stored.items()):
            for operation in list(stored.operations.values()):
                self._sweep(payment_id, operation)
            payment = stored.payment
            if payment.status in OPEN and payment.expires_at <= self.now:
                self.record(Expire(payment_id=payment_id))

    def _sweep(self, payment_id: UUID, operation: Operation) -> None:
        if operation.next_publish_at is not None and operation.next_publish_at <= self.now:
            operation.next_publish_at = self.now + timedelta(seconds=30)
            self.commands.append((payment_id, operation.id))
        if operation.state is State.SENT and operation.lease_until and operation.lease_until < self.now:
            self.record(LeaseEnded(payment_id=payment_id, operation_id=operation.id))
        if operation.next_query_at is not None and operation.next_query_at <= self.now:
            self.record(Ask(payment_id=payment_id, operation_id=operation.id))

    def record(self, fact: Fact, operation_id: UUID | None = None) -> Operation | None:
        """What the recorder does: load, fold, store. Returns the operation as it then is."""
        stored = self.stored[fact.payment_id]
        root = Root(
            payment=copy.copy(stored.payment),
            operations={key: copy.copy(each) for key, each in stored.operations.items() if _is_loaded(each, fact)},
            spec=self.liars[stored.payment.provider].spec,
            owners=stored.owners,
        )
        fold(root, [fact], self.now)
        stored.payment = root.payment
        stored.operations |= root.operations
        stored.events += len(root.events)
        self.commands += [(fact.payment_id, each.id) for each in root.created]
        return stored.operations.get(operation_id) if operation_id else None


def _forgetful(spec: ProviderSpec) -> ProviderSpec:
    """A provider that charges a repeated reference again, but whose "not found" is final after ten seconds."""
    charge = spec.verbs[Verb.CHARGE]
    promises = Uncertainty(idempotency="none", lookup="authoritative", absence_after_s=10)
    return structs.replace(spec, verbs={**spec.verbs, Verb.CHARGE: structs.replace(charge, uncertainty=promises)})


def _sooner(spec: ProviderSpec) -> ProviderSpec:
    """The provider as declared, but that after two hours instead of days nobody is asked any more."""
    return structs.replace(spec, queries=structs.replace(spec.queries, end_s=7200))


SPECS = {
    "sandbox": _sooner(PROVIDERS["sandbox"]),
    "cpay": _sooner(PROVIDERS["cpay"]),
    "forgetful": _sooner(_forgetful(PROVIDERS["sandbox"])),
}


def _is_loaded(operation: Operation, fact: Fact) -> bool:
    named = getattr(fact, "operation_id", None) == operation.id
    return operation.verb is not Verb.QUERY or operation.state in (State.PREPARED, State.SENT) or named
