"""One payment in memory, and what must hold whatever happens to it."""

from datetime import timedelta
from typing import Final

from gateway import ids
from gateway.clock import Clock
from gateway.payments.errors import MyPayError
from gateway.payments.facts import Answer, Ask, Claim, Fact, Proof
from gateway.payments.model import OPEN, SETTLED, Operation, RefundStatus, Root, State, Status
from gateway.payments.transitions import fold
from gateway.payments.verbs import start_confirm
from providers.contract import Absent, NotSent, Outcome, Throttled, Verb
from providers.registry import PROVIDERS
from tests.support.payments import new_payment

AMOUNT: Final = 15000
FINAL: Final = frozenset(Status) - OPEN - {Status.AUTHORIZED}
START: Final = Clock().now()


class World:
    """One payment, the time, and a word for each thing that can happen to it."""

    def __init__(self, provider: str) -> None:
        new = new_payment("property", now=START, provider=provider, amount=AMOUNT, payment_id=ids.new(7))
        self.now = START
        self.root = Root(
            payment=new.payment,
            operations={new.operation.id: new.operation},
            spec=PROVIDERS[provider],
            owners={"owned by another": ids.new()},
        )
        self.charge: Operation = new.operation
        self.owners = 0

    def fold(self, fact: Fact) -> None:
        """Apply a fact, and check what must hold whatever it was."""
        root, payment = self.root, self.root.payment
        status, sequence, review = payment.status, payment.sequence, payment.review
        sends, unsent = self.charge.sends, self.charge.state is State.PREPARED
        proof = self._proves_that_nothing_happened(fact)
        fold(root, [fact], self.now)
        told = [event.sequence for event in root.events if event.object_id == payment.id]
        assert told == list(range(2, payment.sequence + 1))
        self._check_amounts()
        if status in FINAL and payment.status is not status:
            assert payment.status is Status.SUCCEEDED
            assert payment.review is not None
        if status is Status.SUCCEEDED:
            assert payment.status is Status.SUCCEEDED
        if review is not None and payment.review is None:
            assert "payment.review_resolved" in {event.type for event in root.events[sequence - 1 :]}
        if self.charge.sends > sends:
            assert isinstance(fact, Claim)
            assert unsent, "only what is prepared is sent"
        elif self.charge.state is State.PREPARED:
            assert unsent or proof, "to be sent again without proof that the first time had no effect"
        self._check_operations()

    def _check_amounts(self) -> None:
        """What is captured, refunded and being refunded is what the operations and refunds say."""
        payment, refunds = self.root.payment, self.root.refunds.values()
        doubles = [each for each in self.root.operations.values() if each.verb is Verb.CHARGE and each.target_id]
        succeeded = payment.status is Status.SUCCEEDED
        assert payment.amount_captured == (AMOUNT * (1 + len(doubles)) if succeeded else 0)
        assert payment.amount_refunded == sum(r.amount for r in refunds if r.status is RefundStatus.SUCCEEDED)
        under_way = (RefundStatus.PENDING, RefundStatus.PROCESSING)
        assert payment.amount_refund_reserved == sum(r.amount for r in refunds if r.status in under_way)
        assert payment.refundable >= 0
        assert all(r.amount == self.root.operations[r.id].amount for r in refunds)

    def _proves_that_nothing_happened(self, fact: Fact) -> bool:
        """By what the provider declares, not by what our tables make of it."""
        if not isinstance(fact, Answer):
            return False
        if fact.operation_id == self.charge.id:
            return fact.fence == self.charge.fence and isinstance(fact.outcome, NotSent | Throttled)
        query, since = self.root.operations[fact.operation_id], self.charge.answered_at or self.charge.lease_until
        absence_s = self.root.spec.verbs[Verb.CHARGE].uncertainty.absence_after_s
        if query.verb is not Verb.QUERY or not isinstance(fact.outcome, Absent):
            return False
        if absence_s is None or since is None or query.sent_at is None:
            return False
        return query.sent_at >= since + timedelta(seconds=absence_s)

    def _check_operations(self) -> None:
        queries = [each for each in self.root.operations.values() if each.verb is Verb.QUERY]
        assert sum(each.state in (State.PREPARED, State.SENT) for each in queries) <= 1
        assert all(each.fence == each.sends for each in self.root.operations.values())
        assert self.charge.state is not State.SUCCEEDED or self.root.payment.status is Status.SUCCEEDED
        for each in (self.charge, *queries):
            assert self._is_remembered(each), f"nobody will ever look at it again: {each.verb} {each.state}"

    def _is_remembered(self, operation: Operation) -> bool:
        """Whether what is open has an appointment, a worker, a question about it, or a person who is told."""
        if operation.state in SETTLED | {State.AUTHORIZED} or self.root.payment.review is not None:
            return True
        if operation.verb is Verb.QUERY and operation.state is State.UNKNOWN:
            return True  # it is over, without an answer
        if operation.state is State.LAPSED and self.now >= START + timedelta(seconds=self.root.spec.queries.end_s):
            return True
        appointments = (operation.next_publish_at, operation.lease_until, operation.next_query_at)
        return any(appointments) or self.root.live_query(operation.id) is not None

    def claim(self, operation: Operation) -> int:
        """A worker claims it; the fence that it believes to have."""
        self.owners += 1
        claim = Claim(
            payment_id=self.root.payment.id, operation_id=operation.id, owner=f"worker/{self.owners}", lease_s=60
        )
        self.fold(claim)
        return operation.fence

    def answer(self, operation: Operation, fence: int, outcome: Outcome) -> None:
        fact = Answer(payment_id=self.root.payment.id, operation_id=operation.id, fence=fence, outcome=outcome)
        self.fold(fact)

    def tell(self, outcome: Outcome) -> None:
        """A signed callback."""
        self.fold(Proof(payment_id=self.root.payment.id, operation_id=self.charge.id, outcome=outcome))

    def query(self) -> Operation | None:
        """The question about the charge: the one that is live, or a new one where one is permitted."""
        if self.root.live_query(self.charge.id) is None:
            self.fold(Ask(payment_id=self.root.payment.id, operation_id=self.charge.id))
        return self.root.live_query(self.charge.id)

    def confirm(self) -> Operation | None:
        """The payer's code comes, where it is waited for."""
        try:
            return start_confirm(self.root, self.now)
        except MyPayError:
            return self.root.live(Verb.CONFIRM)
