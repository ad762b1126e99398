"""The work: whether workers do it, and what waits for them or for people."""

from typing import Final

from gateway.store import gauges
from streams.doctor.examination import Examination
from streams.doctor.findings import Fault, Finding, those

WAITING_WARN_S: Final = 60.0  # a command or an event that nobody took up
_ROLES: Final = "Start a worker with the role {}, or look at the log of the one that runs."


async def workers(at: Examination) -> list[Finding]:
    """Whether a relay leads, and commands and events are taken up."""
    async with at.database() as connection:
        led = await gauges.relay_is_led(connection)
        commands = await connection.fetchval(gauges.PREPARED_OLDEST_S)
        events = await connection.fetchval(gauges.UNPUBLISHED_OLDEST_S)
    faults: tuple[Fault, ...] = (
        (not led, "fail", "No worker leads the relay: no event is published.", _ROLES.format("relay")),
        (
            commands > WAITING_WARN_S,
            "warn",
            f"An operation has waited {commands:.0f} s to be sent.",
            "Look at the lines `accounts` and `broker`; else: " + _ROLES.format("executor"),
        ),
        (
            events > WAITING_WARN_S,
            "warn",
            f"An event has waited {events:.0f} s to be published.",
            "Look at the line `broker`; else: " + _ROLES.format("relay"),
        ),
    )
    return those("workers", faults) or [Finding("workers", "ok", "A worker leads the relay; nothing waits for long.")]


async def people(at: Examination) -> list[Finding]:
    """What waits for a person: reviews and dead letters."""
    async with at.database() as connection:
        reviews = await connection.fetchval(gauges.REVIEWS)
        dead = await connection.fetchval(gauges.DEAD_LETTERS)
    waiting: tuple[Fault, ...] = (
        (reviews, "warn", f"{reviews} payments under review.", "`mypay review list` shows them."),
        (dead, "warn", f"{dead} dead letters that were never replayed.", "`mypay dlq list` shows them."),
    )
    return those("people", waiting) or [
        Finding("people", "ok", "No payment is under review, and there are no dead letters.")
    ]
