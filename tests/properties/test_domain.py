"""The pure core under any sequence of facts: what never happens, and what any order of a true story comes to."""

from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.payments.facts import Ask, Cancel, Expire, Fact, LeaseEnded, Proof
from gateway.payments.model import ReviewReason, State, Status
from providers.contract import (
    Absent,
    ActionRequired,
    Ambiguous,
    Authorized,
    Declined,
    NotSent,
    Otp,
    Outcome,
    Pending,
    Redirected,
    Reversed,
    Succeeded,
    Throttled,
    Unknown,
)
from providers.declines import DeclineCode
from providers.registry import PROVIDERS
from tests.properties.world import AMOUNT, World

REFERENCES: Final = (None, "R1", "R2", "owned by another")

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
thorough = settings(max_examples=300, suppress_health_check=list(HealthCheck))


# --- Anything may happen --------------------------------------------------------------------------------------------


def outcomes() -> st.SearchStrategy[Outcome]:
    """All that a provider can be understood to say."""
    reference = st.sampled_from(REFERENCES)
    stated: dict[str, st.SearchStrategy[Any]] = {
        "provider_reference": reference,
        "amount": st.sampled_from([None, AMOUNT, AMOUNT + 1, 10**30]),
        "currency": st.sampled_from([None, "LSL", "ZAR"]),
    }
    action = st.sampled_from([Otp("code"), Otp("the code was wrong"), Redirected("https://provider.example/")])
    doubt: st.SearchStrategy[Outcome] = st.sampled_from(
        [Absent(), NotSent(detail="refused"), Unknown(detail="timeout"), Ambiguous(detail="?"), Throttled()]
    )
    said = st.one_of(
        st.builds(Succeeded, **stated),
        st.builds(Authorized, **stated),
        st.builds(Pending, provider_reference=reference),
        st.builds(ActionRequired, action=action, provider_reference=reference),
        st.builds(Declined, code=st.sampled_from(DeclineCode), provider_reference=reference),
        st.builds(Reversed, provider_reference=reference),
    )
    return st.one_of(doubt, said)


# Often what leads on, rarely what ends it.
WHAT: Final = (
    *["claim"] * 4, *["answer"] * 4, *["ask"] * 2, *["query"] * 3, *["wait"] * 2, *["confirm"] * 2,
    "old_answer", "proof", "lease", "expire", "cancel",
)  # fmt: skip
Step = tuple[str, Outcome, float]
STEPS: Final = st.lists(
    st.tuples(st.sampled_from(WHAT), outcomes(), st.sampled_from([0.5, 3.0, 70.0, 700.0, 4000.0, 90_000.0])),
    min_size=3,
    max_size=25,
)


# Where most of what is interesting begins: chance alone gets there too rarely.
BEGINNINGS: Final[list[list[Step]]] = [
    [],
    [("claim", Absent(), 0)],
    [("claim", Absent(), 0), ("answer", Unknown(detail="timeout"), 0)],
    [("claim", Absent(), 0), ("answer", Pending(), 0)],
    [("claim", Absent(), 0), ("answer", ActionRequired(action=Otp("code")), 0)],
]


def happens(world: World, what: str, outcome: Outcome, seconds: float) -> None:
    """One step. `seconds` is how long a wait is."""
    charge, payment_id = world.charge, world.root.payment.id
    facts: dict[str, Fact] = {
        "ask": Ask(
            payment_id=payment_id,
            operation_id=charge.id,
            provider_reference=getattr(outcome, "provider_reference", None),
        ),
        "proof": Proof(payment_id=payment_id, operation_id=charge.id, outcome=outcome),
        "lease": LeaseEnded(payment_id=payment_id, operation_id=charge.id),
        "expire": Expire(payment_id=payment_id),
        "cancel": Cancel(payment_id=payment_id),
    }
    if what in ("wait", "lease"):
        world.now += timedelta(seconds=seconds)
    if what in facts:
        world.fold(facts[what])
    elif what == "claim":
        world.claim(charge)
    elif what in ("answer", "old_answer") and charge.fence:  # nobody answers for what nobody has claimed
        world.answer(charge, charge.fence - (what == "old_answer"), outcome)
    elif what in ("query", "confirm"):
        operation = world.query() if what == "query" else world.confirm()
        if operation is not None:
            world.answer(operation, world.claim(operation), outcome)


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(thorough, max_examples=1000)
@given(beginning=st.sampled_from(BEGINNINGS), steps=STEPS)
@example(beginning=BEGINNINGS[-1], steps=[("confirm", Unknown(detail="timeout"), 0.5), ("confirm", Absent(), 0.5)])
def test_whatever_happens(provider: str, beginning: list[Step], steps: list[Step]) -> None:
    """No fact raises, and after each of them the money rules hold (see `World.fold`)."""
    world = World(provider)
    for what, outcome, seconds in [*beginning, *steps]:
        happens(world, what, outcome, seconds)


@thorough
@given(steps=STEPS, outcome=outcomes())
def test_told_twice_changes_nothing(steps: list[Step], outcome: Outcome) -> None:
    """A batch whose commit was not confirmed is run again: the same callback at the same time is no news."""
    world = World("sandbox")
    for what, said, seconds in steps:
        happens(world, what, said, seconds)
    world.tell(outcome)
    before = (world.root.payment.status, world.root.payment.sequence, world.charge.state)
    world.tell(outcome)
    assert (world.root.payment.status, world.root.payment.sequence, world.charge.state) == before


# --- One true story, in any order -----------------------------------------------------------------------------------

PAID: Final = Succeeded(provider_reference="R1", amount=AMOUNT, currency="LSL")
NO: Final = Declined(code=DeclineCode.INSUFFICIENT_FUNDS, provider_reference="R1")
WRONG: Final = Succeeded(provider_reference="R1", amount=AMOUNT + 1, currency="LSL")
BEFORE: Final = (Pending(provider_reference="R1"), ActionRequired(action=Otp("code")), Unknown(detail="timeout"))


def stories(truth: Outcome) -> st.SearchStrategy[list[tuple[str, Outcome]]]:
    """The words before the outcome and the outcome, by callback and by answer, each any number of times, shuffled."""
    words: list[tuple[str, Outcome]] = [
        (how, said) for how in ("proof", "answer", "query") for said in (*BEFORE, truth)
    ]
    copies = st.lists(st.sampled_from(words), max_size=12)
    # What is certain: the charge was sent once, and the provider's last word arrives at least once.
    return copies.flatmap(lambda extra: st.permutations([("claim", truth), ("proof", truth), *extra]))


def told(story: list[tuple[str, Outcome]]) -> World:
    world = World("sandbox")
    for how, said in story:
        world.now += timedelta(seconds=2)
        if how == "query":
            happens(world, "ask", said, 0)
        happens(world, how, said, 0)
    return world


def conclusion(world: World) -> tuple[Status, int, ReviewReason | None]:
    payment = world.root.payment
    return payment.status, payment.amount_captured, None if payment.review is None else payment.review.reason


@thorough
@given(story=stories(PAID))
def test_what_was_paid_ends_paid(story: list[tuple[str, Outcome]]) -> None:
    assert conclusion(told(story)) == (Status.SUCCEEDED, AMOUNT, None)


@thorough
@given(story=stories(NO))
def test_what_was_declined_ends_failed(story: list[tuple[str, Outcome]]) -> None:
    assert conclusion(told(story)) == (Status.FAILED, 0, None)


@thorough
@given(story=stories(WRONG))
def test_what_does_not_agree_ends_with_a_person(story: list[tuple[str, Outcome]]) -> None:
    status, captured, review = conclusion(told(story))
    assert (captured, review) == (0, ReviewReason.AMOUNT_MISMATCH)
    assert status in (Status.PROCESSING, Status.REQUIRES_ACTION)  # by the last word before the outcome


@thorough
@given(story=st.permutations([NO, PAID, NO, PAID, Pending()]), claimed=st.booleans())
def test_who_says_both_is_paid_and_looked_at(story: list[Outcome], claimed: bool) -> None:
    """Late success or contradiction: in either order the money counts, and a person is told."""
    world = World("sandbox")
    if claimed:
        world.claim(world.charge)
    for said in story:
        world.tell(said)
    status, captured, review = conclusion(world)
    assert (status, captured) == (Status.SUCCEEDED, AMOUNT)
    assert review in (ReviewReason.LATE_SUCCESS, ReviewReason.CONTRADICTED)


def test_the_machine_reaches_what_it_is_about() -> None:
    """Were every sequence stale, all of the above would hold: these are not."""
    reached: set[tuple[Status, State]] = set()
    paths: list[list[tuple[str, Outcome]]] = [
        [("claim", PAID), ("answer", PAID)],
        [("claim", NO), ("answer", NO)],
        [("cancel", NO)],
        [("claim", NO), ("answer", Pending()), ("wait", NO), ("expire", NO), ("query", Pending())],
        [("claim", NO), ("answer", Unknown(detail="?")), ("ask", NO), ("wait", NO), ("query", NO)],
    ]
    for steps in paths:
        world = World("sandbox")
        for what, outcome in steps:
            happens(world, what, outcome, 4000.0)
        reached.add((world.root.payment.status, world.charge.state))
    assert reached == {
        (Status.SUCCEEDED, State.SUCCEEDED),
        (Status.FAILED, State.DECLINED),
        (Status.CANCELED, State.NOT_SENT),
        (Status.EXPIRED, State.LAPSED),
    }
