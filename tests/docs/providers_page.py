"""docs/reference/providers.md and a page for each provider: what its spec declares, in words, and what is proven."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from providers.conformance.declared import size
from providers.conformance.report import planned, promises
from providers.conformance.suite import subject
from providers.contract import ProviderSpec, QuerySchedule, ReferenceFormat, Secret
from providers.money import CURRENCIES, to_major
from providers.phones import COUNTRIES
from providers.registry import PROVIDERS
from tests.docs.markdown import code, codes, page, table

ABOVE = 5  # more entries than that are counted


def providers() -> str:
    """The page that leads to the others."""
    return page(
        "Providers",
        "the `SPEC` of each folder of providers/",
        "How to write one: [add a provider](../guides/add-a-provider.md). What an unknown outcome permits:"
        " [states](../states.md#after-an-unknown-outcome).",
        table(["provider", "countries", "currencies", "methods", "it can", "callbacks"], map(line, PROVIDERS.values())),
    )


def line(spec: ProviderSpec) -> tuple[str, ...]:
    """One provider in the table of all."""
    return (
        f"[{spec.title}](providers/{spec.name}.md)",
        listed(spec.countries, COUNTRIES, "every country"),
        listed(spec.currencies, CURRENCIES, "all"),
        codes(sorted(spec.methods)),
        codes(spec.verbs),
        callbacks(spec).split(":")[0],
    )


def provider(name: str) -> str:
    """Everything about one provider."""
    of = subject(name)
    spec, lines = of.spec, size(of)
    longer = f"; longer than the 300 that an adapter should have for {of.cases.longer}" if of.cases.longer else ""
    proofs = [(name, says, count) for name, says, count in planned(of) if count]
    checks = sum(count for *_, count in proofs)
    return page(
        spec.title,
        f"providers/{name}",
        f"`{name}`, in {lines.code} lines of code ({lines.lines} with comments and blank lines), its simulator and its"
        f" cases not counted{longer}. All providers: [providers](../providers.md).",
        table(["", ""], facts(spec)),
        "## What is promised",
        "\n".join(f"- **{sentence.partition(':')[0]}**:{sentence.partition(':')[2]}" for sentence in promises(spec)),
        "What the engine makes of it: [states](../../states.md#after-an-unknown-outcome).",
        "## Settings of an account",
        table(["setting", "kind", "default"], settings(spec.settings)),
        "## Its words",
        table(["word", "means"], words(spec)),
        "## What is proven",
        f"{len(proofs)} proofs with {checks} checks, made from {len(of.cases.answers)} recorded answers and"
        f" {len(of.cases.callbacks)} callbacks, on every run of the tests and by `mypay provider check {name}`. They"
        " are about the documents and the simulator that was made from them; nothing here was tried against the"
        " provider itself.",
        table(["proof", "what it says", "checks"], proofs),
        "At its simulator, over HTTP, with its ledger:",
        "\n".join(f"- {scenario.says}" for scenario in of.cases.scenarios),
    )


def facts(spec: ProviderSpec) -> list[tuple[str, str]]:
    """Countries, currencies, limits, deadline, callbacks, schedule."""
    return [
        ("countries", listed(spec.countries, COUNTRIES, "every country")),
        ("currencies", listed(spec.currencies, CURRENCIES, "every active ISO 4217 currency")),
        ("amounts", limits(spec)),
        ("methods", codes(sorted(spec.methods))),
        ("callbacks", callbacks(spec)),
        ("an unsettled operation is asked about", schedule(spec.queries)),
        ("a call's deadline", f"{spec.deadline_s:g} s, logins included"),
        ("calls at once", f"{spec.slots} per account and worker"),
        ("our reference", reference(spec.reference)),
    ]


def listed(values: Collection[str], every: Collection[str], name: str) -> str:
    """The values, or their common name when they are all."""
    return name if set(values) == set(every) else codes(sorted(values))


def limits(spec: ProviderSpec) -> str:
    """Smallest and largest amount, in major units."""
    if len(spec.limits) > ABOVE:
        least, most = {limit.min for limit in spec.limits.values()}, {limit.max for limit in spec.limits.values()}
        return f"{min(least)} to {max(most)} minor units"
    whole = dict.fromkeys(spec.whole_units, ", whole units only")
    return "; ".join(
        f"{currency} {to_major(limit.min, currency)} to {to_major(limit.max, currency)}{whole.get(currency, '')}"
        for currency, limit in spec.limits.items()
    )


def callbacks(spec: ProviderSpec) -> str:
    """Whether they prove anything."""
    if spec.callback is None:
        return "none"
    if spec.callback.for_account is not None:
        return "proof where the account's settings have them signed; else they only make us ask"
    if spec.callback.verify:
        return "signed: they are proof"
    return "unsigned: they only make us ask; but a late answer that quotes what only we were told is proof"


def reference(form: ReferenceFormat) -> str:
    """Of which characters our names are made."""
    layout = f", as {code(form.layout)}" if form.layout else ""
    return f"{form.length} characters of {code(form.alphabet)}{layout}"


def schedule(queries: QuerySchedule) -> str:
    """When an unsettled operation is asked about."""
    first = ", ".join(f"{seconds:g}" for seconds in queries.delays_s)
    days, minutes = queries.end_s / 86_400, queries.end_s / 60
    end = f"{days:g} days" if days >= 1 else f"{minutes:g} minutes"
    return f"after {first} s, then every {queries.every_s:g} s, for {end}; then it goes to review"


def settings(struct: type[Struct]) -> list[tuple[str, str, str]]:
    """The members of a settings Struct. The default of a secret is not shown."""
    return [(code(field.name), kind(field.type), default(field)) for field in msgspec.structs.fields(struct)]


def kind(annotation: Any) -> str:
    """A type in words."""
    if annotation is Secret:
        return "secret"
    if annotation == Secret | None:
        return f"secret or {code('null')}"
    described = msgspec.json.schema(annotation)
    options = described.get("anyOf", [described])
    return " or ".join(codes(each["enum"]) if "enum" in each else code(each["type"]) for each in options)


def default(field: msgspec.structs.FieldInfo) -> str:
    """What stands when nothing is said."""
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return code(msgspec.json.encode(field.default_factory()).decode())
    return (
        "for the simulator" if isinstance(field.default, Secret) else code(msgspec.json.encode(field.default).decode())
    )


def words(spec: ProviderSpec) -> list[tuple[str, str]]:
    """The provider's words and what they mean to us; every other word is Pending, and makes us ask."""
    declines: Mapping[str, object] = spec.declines
    stated = [(code(word), outcome.__name__ + reason(word, declines)) for word, outcome in spec.statuses.items()]
    reasons = [
        (code(word), f"Declined: {code(means)}") for word, means in declines.items() if word not in spec.statuses
    ]
    return [*stated, *reasons, ("any other", "Pending, and a query")]


def reason(word: str, declines: Mapping[str, object]) -> str:
    """The decline code of a word, where it has one."""
    return f": {code(declines[word])}" if word in declines else ""
