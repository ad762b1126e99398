"""How the parts that a process needs are: probed all at once, and never waited for long."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, TypeAlias

import structlog
from msgspec import Struct

PROBE_TIMEOUT_S: Final = 1.0

Word: TypeAlias = Literal["ok", "degraded", "unavailable"]
Probe: TypeAlias = Callable[[], Awaitable[None]]

log = structlog.get_logger("gateway.http")


class Check(Struct, frozen=True, kw_only=True):
    """A part that this process uses. `probe` raises when it is away; without a `required` one we take no work."""

    probe: Probe
    required: bool = False


class Readiness(Struct, frozen=True):
    """The body of /health/ready."""

    status: Word
    checks: dict[str, Word]


def may_read_metrics(authorization: str, token: str | None) -> bool:
    """Whether this `Authorization` header bears METRICS_TOKEN; without one, anybody may."""
    return token is None or hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Probe all parts at once, for at most `PROBE_TIMEOUT_S`; a probe that is late is not waited for, even to end."""
    probes = {name: asyncio.ensure_future(check.probe()) for name, check in checks.items()}
    _, late = await asyncio.wait(probes.values(), timeout=PROBE_TIMEOUT_S)
    words = {name: _word(name, checks[name], _result(probe)) for name, probe in probes.items()}
    for probe in late:
        probe.cancel()
        probe.add_done_callback(_result)
    worst: tuple[Word, ...] = ("unavailable", "degraded", "ok")
    return Readiness(next(word for word in worst if word in words.values() or word == "ok"), words)


def _result(probe: asyncio.Future[None]) -> BaseException | None:
    """What a probe came to; asked for, so that asyncio does not report what nobody looked at."""
    if not probe.done():
        return TimeoutError()
    return asyncio.CancelledError() if probe.cancelled() else probe.exception()


def _word(name: str, check: Check, result: BaseException | None) -> Word:
    if result is None:
        return "ok"
    log.warning("health.failed", part=name, error=repr(result))
    return "unavailable" if check.required else "degraded"
