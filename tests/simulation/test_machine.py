"""Hypothesis drives the world: anything may be lost, doubled, late or crash, and the provider's ledger is the judge.

    .venv/bin/pytest -n 0 tests/simulation --hypothesis-seed=1

SIMULATION_EXAMPLES sets how many stories are told (default: a short run); each has up to 60 steps.
"""

import os
from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.payments.model import OPEN, State, Status
from providers.contract import Verb
from tests.simulation.liar import Behaviour
from tests.simulation.world import SPECS, World

LIVE = {
    State.PREPARED,
    State.SENT,
    State.UNKNOWN,
    State.PENDING,
    State.ACTION_REQUIRED,
    State.AUTHORIZED,
    State.SUCCEEDED,
}
ANY = st.integers(min_value=0, max_value=10**6)


class Machine(RuleBasedStateMachine):
    """Stories of a few payments."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @precondition(lambda self: len(self.world.stored) < 4)
    @rule(provider=st.sampled_from(sorted(SPECS)), expires_in_s=st.sampled_from([60, 3600]))
    def accept(self, provider: str, expires_in_s: float) -> None:
        self.world.accept(provider, expires_in_s)

    @precondition(lambda self: self.world.commands)
    @rule(which=ANY, behaviour=st.sampled_from(Behaviour), crash=st.booleans(), again=st.booleans())
    def perform(self, which: int, behaviour: Behaviour, crash: bool, again: bool) -> None:
        commands = self.world.commands
        index = which % len(commands)
        command = commands[index] if again else commands.pop(index)
        self.world.perform(command, behaviour, crash=crash)

    @precondition(lambda self: self.world.answers)
    @rule(which=ANY, again=st.booleans())
    def answer(self, which: int, again: bool) -> None:
        answers = self.world.answers
        index = which % len(answers)
        self.world.answer(answers[index] if again else answers.pop(index))

    @precondition(lambda self: self.world.callbacks)
    @rule(which=ANY)
    def call_back(self, which: int) -> None:
        self.world.call_back(self.world.callbacks[which % len(self.world.callbacks)])

    @precondition(lambda self: self.world.commands)
    @rule()
    def wipe_the_broker(self) -> None:
        self.world.commands.clear()

    @precondition(lambda self: self.world.stored)
    @rule(seconds=st.sampled_from([0.1, 1, 3, 10, 61, 600, 4000]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.world.stored)
    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @invariant()
    def nobody_is_charged_twice(self) -> None:
        for liar in self.world.liars.values():
            for reference, entry in liar.ledger.items():
                assert entry.charges <= 1, f"{reference} was charged {entry.charges} times"

    @invariant()
    def one_attempt_is_live(self) -> None:
        for stored in self.world.stored.values():
            live = [o for o in stored.operations.values() if o.verb is Verb.CHARGE and o.state in LIVE]
            queries = [
                o
                for o in stored.operations.values()
                if o.verb is Verb.QUERY and o.state in (State.PREPARED, State.SENT)
            ]
            assert len(live) <= 1
            assert len(queries) <= 1

    @invariant()
    def every_event_has_its_number(self) -> None:
        for stored in self.world.stored.values():
            assert stored.payment.sequence == stored.events
            assert stored.payment.amount_captured in (0, stored.payment.amount)

    def teardown(self) -> None:
        """The faults end, everybody is honest, time passes: every payment must come to rest, and tell the truth."""
        self._heal()
        self.nobody_is_charged_twice()
        self.every_event_has_its_number()
        for stored in self.world.stored.values():
            payment = stored.payment
            [charge] = [o for o in stored.operations.values() if o.verb is Verb.CHARGE]
            entry = self.world.liars[payment.provider].ledger.get(charge.reference)
            charged = entry is not None and entry.charges > 0
            assert payment.status not in OPEN or payment.review is not None, f"{payment.status} for ever"
            if payment.review is None:
                assert (payment.status is Status.SUCCEEDED) == charged, f"{payment.status}, but charged: {charged}"
            elif payment.review.reason == "late_success":
                assert charged
                assert payment.status is Status.SUCCEEDED

    def _heal(self) -> None:
        world = self.world
        called_back = False
        for _ in range(2000):
            world.sweep()
            if self._at_rest():
                if called_back:
                    return
                # A provider that changes its mind tells us in the end; that a callback never comes is not assumed.
                called_back = True
                world.now += timedelta(hours=2)  # what was still under way to a provider has arrived
                for liar in world.liars.values():
                    liar.settle(world.now)
                for callback in world.callbacks:
                    world.call_back(callback)
            for command in world.commands[:]:
                world.perform(command, Behaviour.CHARGE, crash=False)
            world.commands.clear()
            for late in world.answers[:]:
                world.answer(late)
            world.answers.clear()
            world.now += timedelta(seconds=self._until_next())

    def _at_rest(self) -> bool:
        world = self.world
        due = [o for s in world.stored.values() for o in s.operations.values() if o.next_publish_at or o.next_query_at]
        live = [o for s in world.stored.values() for o in s.operations.values() if o.state is State.SENT]
        is_open = [s for s in world.stored.values() if s.payment.status in OPEN and s.payment.review is None]
        return not (due or live or is_open or world.commands or world.answers)

    def _until_next(self) -> float:
        """Time may jump to the next appointment, but not further than half an hour."""
        world = self.world
        times = [
            at
            for stored in world.stored.values()
            for each in stored.operations.values()
            for at in (each.next_publish_at, each.next_query_at, each.lease_until)
            if at is not None and at > world.now
        ]
        times += [s.payment.expires_at for s in world.stored.values() if s.payment.expires_at > world.now]
        return min(((min(times) - world.now).total_seconds() if times else 1800) + 0.01, 1800)


Machine.TestCase.settings = settings(
    max_examples=int(os.environ.get("SIMULATION_EXAMPLES", "150")),
    stateful_step_count=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a story of 60 steps is read faster than it is shrunk
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase
