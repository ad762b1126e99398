"""`mypay keys rotate` and `mypay audit verify`: what they do and print."""

import getpass

from gateway import ids
from gateway.clock import Clock
from gateway.sealing import SealBroken
from gateway.settings import Settings, SettingsError
from gateway.startup import StartupError
from gateway.store import audit_chain
from gateway.store.database import create_pool, read_clock
from gateway.store.sealed import COLUMNS
from gateway.usecases import audit_trail, rotate_keys
from gateway.usecases.audit_trail import Verdict


async def rotate(settings: Settings) -> list[str]:
    """Put everything under SECRET_KEY that is under SECRET_KEY_PREVIOUS. Raises `SettingsError`, `StartupError`."""
    if settings.secret_key_previous is None:
        raise SettingsError("SECRET_KEY_PREVIOUS is not set: write the key that SECRET_KEY takes the place of.")
    async with await create_pool(settings, size=2) as pool:
        clock = Clock()
        await read_clock(clock, pool)
        try:
            done = await rotate_keys.rotate(settings, pool, clock, f"operator:{getpass.getuser()}")
        except SealBroken as error:
            raise StartupError(f"Neither SECRET_KEY nor SECRET_KEY_PREVIOUS sealed all secrets: {error}") from error
    tables = dict.fromkeys([*(column.table for column in COLUMNS), "audit_anchors"])
    counts = [f"{done[table]} of {table}" for table in tables]
    return [f"Under SECRET_KEY now, beside what was before: {', '.join(counts)}. Nothing is left under another key."]


async def verify_audit(settings: Settings) -> list[str]:
    """One line per chain. Raises `StartupError` when one does not hold."""
    async with await create_pool(settings, size=2) as pool:
        async with pool.acquire() as connection:
            chains = await audit_chain.chains(connection)
        lines, good = [], True
        for merchant_id, livemode in chains:
            chain = audit_trail.chain_of(settings, merchant_id, livemode)
            verdict = await audit_trail.verify(pool.acquire, chain)
            whose = "installation" if merchant_id == ids.NIL else ids.show(ids.MERCHANT, merchant_id)
            lines.append(f"{whose} {'live' if livemode else 'test'}: {_line(verdict)}")
            good = good and verdict.bad is None
    if not good:
        raise StartupError("An audit trail was changed:\n" + "\n".join(lines))
    return lines or ["There is no audit trail yet."]


def _line(verdict: Verdict) -> str:
    if verdict.bad is not None:
        return f"broken at position {verdict.bad.position}: {verdict.bad.reason}"
    head = "nothing is sealed yet" if verdict.anchor is None else f"anchored until {verdict.anchor.hash.hex()}"
    return f"{verdict.checked} rows hold, {head}"
