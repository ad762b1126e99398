"""The report: what was done, what came of it, and the whole story of every payment for which a promise was broken."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from tests.chaos.checker.evidence import Evidence, Row
from tests.chaos.checker.invariants import INVARIANTS, Violation
from tests.chaos.checker.money import undetectable

STORIES_MOST = 3
PER_INVARIANT_MOST = 10


def report(seen: Evidence, violations: list[Violation]) -> str:
    """Text for a person who was not there."""
    return "\n".join([*_head(seen), *_ends(seen), *_faults(seen), *_verdict(violations), *_stories(seen, violations)])


def _head(seen: Evidence) -> Iterator[str]:
    run = seen.run
    began = datetime.fromtimestamp(run["began"], UTC)
    yield f"{run['command'] or 'chaos'}    (seed {run['seed']}, {began:%Y-%m-%d %H:%M} UTC, {run['machine']})"
    skews = ", ".join(f"{name} {seconds:+.0f} s" for name, seconds in run["skews"].items())
    yield f"{run['clients']} clients for {run['seconds']:.0f} s; providers' durations times {run['pace']}"
    yield f"clocks that were wrong all along: {skews or 'none'}"
    yield ""


def _ends(seen: Evidence) -> Iterator[str]:
    run, calls = seen.run, seen.run["calls"]
    charges = sum(len(seen.charges(payment)) for payment in seen.money)
    rows = seen.payments.values()
    statuses = Counter(row["status"] for row in rows if row["review"] is None)
    reviews = Counter(f"{row['status']}, review {row['review']}" for row in rows if row["review"])
    yield f"{len(seen.payments)} payments: {run['acknowledged']} acknowledged, the rest without an answer to the client"
    yield "  " + ", ".join(f"{count} {name}" for name, count in [*statuses.most_common(), *reviews.most_common()])
    yield f"  {_providers(rows)}"
    yield f"  {len(seen.refunds)} refunds ({_counts(Counter(row['status'] for row in seen.refunds.values()))});"
    yield f"  {len(seen.payouts)} payouts ({_counts(Counter(row['status'] for row in seen.payouts.values()))})"
    yield f"  {calls.get('create answer', 0)} answers and timeouts for {calls.get('create invoke', 0)} wishes;"
    yield f"  {charges} charges in the providers' ledgers; {sum(map(len, seen.events.values()))} events,"
    yield f"  {len(seen.observed)} records of them seen on the topic"
    yield f"quiet {run['quiet_after_s']} s after the last request; {run['aged']} operations of which"
    yield "  their providers know nothing were then aged by three days, to the declared end of asking;"
    yield f"  {run['brought_forward']} appointments, up to 15 minutes away, were brought forward"
    if lost := undetectable(seen):
        yield f"{len(lost)} charged after a signed decline, in a callback that was lost: nobody here can know"
    yield ""


def _providers(rows: Iterable[Row]) -> str:
    """Payments by provider."""
    return ", ".join(f"{count} at {name}" for name, count in Counter(row["provider"] for row in rows).most_common())


def _faults(seen: Evidence) -> Iterator[str]:
    run = seen.run
    links = run["links"].values()
    yield f"{sum(run['faults'].values())} faults: " + ", ".join(f"{k} {n}" for k, n in sorted(run["faults"].items()))
    yield f"  processes that died: {sum(run['deaths'].values())} ({_counts(run['deaths'])})"
    yield f"  at crash points: {_counts(run['crash_points']) or 'none'}"
    lost = {kind: sum(link[kind] for link in links) for kind in ("reset", "drop_reply")}
    yield f"  connections reset in an exchange: {lost['reset']}; replies lost: {lost['drop_reply']}"
    yield ""


def _verdict(violations: list[Violation]) -> Iterator[str]:
    found = Counter(violation.invariant for violation in violations)
    for name, invariant in INVARIANTS.items():
        meaning = (invariant.__doc__ or "").split(": ", 1)[1].splitlines()[0]
        yield f"  {f'{found[name]} VIOLATED' if found[name] else 'holds':<14}{name:<4} {meaning}"
    yield ""
    yield f"{len(violations)} violations"
    for name in found:
        for violation in [one for one in violations if one.invariant == name][:PER_INVARIANT_MOST]:
            yield f"  {name} {violation.payment or ''} {violation.what}"
        if found[name] > PER_INVARIANT_MOST:
            yield f"  {name} … and {found[name] - PER_INVARIANT_MOST} more"


def _stories(seen: Evidence, violations: list[Violation]) -> Iterator[str]:
    named = list(dict.fromkeys(violation.payment for violation in violations if violation.payment))
    for payment in named[:STORIES_MOST]:
        yield ""
        yield from story(seen, payment)
    if len(named) > STORIES_MOST:
        yield f"\n… and the stories of {len(named) - STORIES_MOST} more payments"


def story(seen: Evidence, payment: str) -> Iterator[str]:
    """Everything that is known about one payment, from all four witnesses."""
    row = seen.payments.get(payment)
    yield f"--- {payment}"
    yield "  payment    " + (_shown(row) if row else "there is none")
    operations = seen.operations.get(payment, [])
    for one in operations:
        yield "  operation  " + _shown(one)
    for event in seen.events.get(payment, []):
        yield "  event      " + _shown(event)
    names = {one["id"] for one in operations}
    for callback in seen.callbacks:
        if callback["operation_id"] in names:
            yield "  callback   " + _shown(callback)
    for entry in (*seen.requests.get(payment, []), *seen.money.get(payment, [])):
        yield "  provider   " + _shown(entry)
    key = row["reference"] if row else None
    for line in seen.history:
        if (key is not None and line.get("key") == key) or payment in (line.get("id"), line.get("payment")):
            yield "  client     " + _shown(line)


def _shown(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if value is not None}, ensure_ascii=False)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
