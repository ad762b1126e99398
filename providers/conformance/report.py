"""The report on a provider: what it promises, in plain words, and what was proven; as JSON and as text."""

from collections.abc import Iterator

from msgspec import Struct

from providers.conformance.declared import size
from providers.conformance.proofs import PROOFS
from providers.conformance.suite import Result, Subject, name_of, prove, says, subject
from providers.contract import ProviderSpec, Uncertainty, Verb

_AGAIN = {
    "key": "Sent again it has no second effect, by its idempotency key{window}: after an unknown answer we may.",
    "reference": "Sent again it has no second effect, by our reference{window}: after an unknown answer we may.",
    "none": "Sent again it may act twice: after an unknown answer we never do, we ask.",
}


class Report(Struct, frozen=True, kw_only=True):
    """What `mypay provider check` finds. `code_lines` and `lines` are the adapter's, without simulator and cases."""

    provider: str
    title: str
    passed: bool
    code_lines: int
    lines: int
    promises: tuple[str, ...]
    proofs: tuple[Result, ...]


async def report(name: str) -> Report:
    """Run every proof over a provider of the registry; `KeyError` when there is none."""
    of = subject(name)
    results = tuple([await prove(proof, of) for proof in PROOFS])
    return Report(
        provider=name,
        title=of.spec.title,
        passed=not any(result.refuted for result in results),
        code_lines=size(of).code,
        lines=size(of).lines,
        promises=tuple(promises(of.spec)),
        proofs=results,
    )


def promises(spec: ProviderSpec) -> Iterator[str]:
    """What a provider promises, a sentence or two for each verb, and what its callbacks are worth."""
    for verb, each in spec.verbs.items():
        if verb is not Verb.QUERY:
            yield f"{verb}: {_again(each.uncertainty)} {_lookup(each.uncertainty)}"
    if spec.callback is None:
        yield "callbacks: there are none; we ask."
    elif spec.callback.verify is None:
        yield (
            "callbacks: nobody signs them, so they prove nothing; each only makes us ask, unless it is the late answer"
            " to a request of ours and quotes the name that only we were told."
        )
    else:
        yield "callbacks: they are signed; an authentic one is proof."


def _again(said: Uncertainty) -> str:
    window = f", for {said.window_s} seconds" if said.window_s is not None else ""
    return _AGAIN[said.idempotency].format(window=window)


def _lookup(said: Uncertainty) -> str:
    if said.lookup == "unsupported":
        return "There is no query: only a callback or a person can tell how it ended."
    if said.absence_after_s is None:
        return "A query tells how it stands; that it finds nothing never proves that nothing happened."
    return (
        "A query tells how it stands; when it finds nothing"
        f" {said.absence_after_s:g} seconds after sending, nothing happened."
    )


def text(found: Report) -> str:
    """The report for a terminal."""
    checks = sum(result.checks for result in found.proofs)
    lines = [f"{found.title} ({found.provider}): {found.code_lines} lines of code, {found.lines} in all", ""]
    lines += [f"  {sentence}" for sentence in found.promises]
    lines.append("")
    for result in found.proofs:
        lines.append(f"  {'no' if result.refuted else 'ok'}  {result.name} ({result.checks})")
        lines += [f"        {sentence}" for sentence in result.refuted]
    failed = [result for result in found.proofs if result.refuted]
    verdict = f"{len(failed)} of them fail" if failed else "all of them hold"
    return "\n".join([*lines, "", f"{len(found.proofs)} proofs, {checks} checks: {verdict}."])


def planned(of: Subject) -> Iterator[tuple[str, str, int]]:
    """Name, sentence and number of checks of each proof, without running any."""
    for proof in PROOFS:
        yield name_of(proof), says(proof), len(list(proof(of)))
