"""The plan of a run: which fault happens when, to whom and for how long. Pure: the same seed gives the same plan."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

APIS = ("api-1", "api-2")
WORKERS = ("worker-1", "worker-2")
PROVIDERS = ("sandbox", "cpay", "mpesa", "daraja", "pawapay", "standard_bank_pay")
PROCESSES = (*APIS, *APIS, *WORKERS, *WORKERS, *WORKERS, "postgres", "postgres", "kafka", "kafka", "valkey", *PROVIDERS)
POSTGRES_LINKS = tuple(f"postgres/{name}" for name in (*APIS, *WORKERS))
LINKS = ("kafka", "valkey", "hooks", *PROVIDERS, *APIS, "public", *POSTGRES_LINKS)

# Crash points by the process that passes them, and up to how many passes are waited for.
POINTS = {
    "accept_before_commit": (APIS, 40),
    "accept_after_commit": (APIS, 40),
    "command_after_publish": (APIS, 40),
    "claim_before_commit": (WORKERS, 40),
    "claim_after_commit": (WORKERS, 40),
    "http_before_send": (WORKERS, 40),
    "http_after_send": (WORKERS, 40),
    "http_after_response": (WORKERS, 40),
    "record_before_commit": (WORKERS, 40),
    "record_after_commit": (WORKERS, 40),
    "event_after_publish": (WORKERS, 20),
    "consumer_before_ack": (WORKERS, 20),
    "callback_before_persist": (APIS, 10),
    "callback_after_persist": (APIS, 10),
    "sweep_mid": (WORKERS, 5),
    "webhook_after_answer": (WORKERS, 20),
}
API_POINTS = tuple(point for point, (who, _) in POINTS.items() if who == APIS)
WORKER_POINTS = tuple(point for point, (who, _) in POINTS.items() if who == WORKERS)

# kind: share. What each does is in `tests.chaos.faults`.
KINDS = {
    "kill": 22,
    "freeze": 10,
    "crash_point": 24,
    "freeze_leader": 3,
    "freeze_claim": 3,
    "wipe_kafka": 2,
    "replay_commands": 2,
    "poison": 2,
    "flush_valkey": 1,
    "latency": 8,
    "reset": 7,
    "drop_reply": 8,
    "slice": 3,
    "black_hole": 4,
    "down": 4,
    "stall": 4,
}
FIRST_S = 3.0
GAP_S = (1.0, 3.5)
LEASE_OF_LEADER_S = 6.0


@dataclass(frozen=True)
class Fault:
    """One fault: `at_s` after the load began, for `lasts_s`."""

    at_s: float
    kind: str
    target: str
    lasts_s: float = 0.0
    how: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        how = " ".join(f"{name}={value}" for name, value in self.how.items())
        return f"{self.at_s:7.1f} s  {self.kind} {self.target} {how} for {self.lasts_s:.1f} s"


def plan(seed: int, seconds: float, kinds: dict[str, int] | None = None, calm: float = 1.0) -> list[Fault]:
    """The faults of a run of so many seconds, `calm` times as far apart as usual; none lasts beyond it."""
    dice = random.Random(f"{seed}/plan")
    shares = KINDS if kinds is None else kinds
    faults: list[Fault] = []
    busy_until: dict[str, float] = {}
    at_s = FIRST_S
    while at_s < seconds - 2:
        kind = dice.choices(list(shares), list(shares.values()))[0]
        fault = _fault(kind, at_s, dice)
        if busy_until.get(fault.target, 0) <= at_s and at_s + fault.lasts_s <= seconds:
            faults.append(fault)
            busy_until[fault.target] = at_s + fault.lasts_s + 1
        at_s += dice.uniform(*GAP_S) * calm
    return faults


def one_of_each(seed: int, seconds: float) -> list[Fault]:
    """Every kind of fault once, and PostgreSQL killed once more, at random moments within so many seconds."""
    dice = random.Random(f"{seed}/one of each")
    faults = [_fault(kind, 0.0, dice) for kind in KINDS] + [Fault(0.0, "kill", "postgres")]
    timed = [replace(fault, at_s=dice.uniform(FIRST_S, seconds - fault.lasts_s - 1)) for fault in faults]
    return sorted(timed, key=lambda fault: fault.at_s)


def skews(seed: int) -> dict[str, float]:
    """Seconds by which the clocks of one API and one worker are wrong, all run long."""
    dice = random.Random(f"{seed}/skew")
    return {dice.choice(APIS): dice.choice((-600.0, 600.0)), dice.choice(WORKERS): dice.choice((-600.0, 600.0))}


def _fault(kind: str, at_s: float, dice: random.Random) -> Fault:
    match kind:
        case "kill":
            return Fault(at_s, kind, dice.choice(PROCESSES), dice.choice((0.0, 0.0, dice.uniform(0.5, 4))))
        case "freeze":
            return Fault(at_s, kind, dice.choice(PROCESSES), dice.uniform(0.5, 9))
        case "crash_point":
            point = dice.choice(list(POINTS))
            who, passes = POINTS[point]
            return Fault(at_s, kind, dice.choice(who), 2.0, {"point": f"{point}:{dice.randint(1, passes)}"})
        case "freeze_leader":
            return Fault(at_s, kind, "leader", LEASE_OF_LEADER_S + dice.uniform(1.5, 4))
        case "freeze_claim":
            point = f"claim_after_commit:{dice.randint(1, 40)}:stop"
            return Fault(at_s, kind, dice.choice(WORKERS), dice.uniform(8, 12), {"point": point})
        case "wipe_kafka":
            return Fault(at_s, kind, "kafka", dice.uniform(1, 16))
        case "replay_commands" | "poison":
            return Fault(at_s, kind, "kafka")
        case "flush_valkey":
            return Fault(at_s, kind, "valkey")
        case _:
            return Fault(at_s, kind, f"link {dice.choice(LINKS)}", dice.uniform(0.5, 5), _weather(kind, dice))


def _weather(kind: str, dice: random.Random) -> dict[str, Any]:
    match kind:
        case "latency":
            return {"latency_s": round(dice.uniform(0.02, 0.4), 3), "jitter_s": round(dice.uniform(0, 0.4), 3)}
        case "reset":
            return {"reset_p": round(dice.uniform(0.002, 0.05), 4)}
        case "drop_reply":
            return {"drop_p": round(dice.uniform(0.01, 0.15), 4)}
        case "slice":
            return {"slice_bytes": dice.randint(7, 200)}
        case _:
            return {kind: True}
