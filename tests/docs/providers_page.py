"""docs/reference/providers.md: what each provider's spec declares, in words."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from providers.contract import ProviderSpec, QuerySchedule, ReferenceFormat, Secret, Uncertainty, Verb
from providers.money import CURRENCIES, to_major
from providers.phones import COUNTRIES
from providers.registry import PROVIDERS
from tests.docs.markdown import code, codes, page, table

AGAIN = {
    "key": "has no second effect (by idempotency key)",
    "reference": "has no second effect (by reference)",
    "none": "may act twice",
}
ABOVE = 5  # more entries than that are counted


def providers() -> str:
    """The page."""
    sections = [part for spec in PROVIDERS.values() for part in section(spec)]
    return page(
        "Providers",
        "the `SPEC` of each folder of providers/",
        "How to write one: [add a provider](../guides/add-a-provider.md). What an unknown outcome permits:"
        " [states](../states.md#after-an-unknown-outcome).",
        *sections,
    )


def section(spec: ProviderSpec) -> list[str]:
    """Everything about one provider."""
    return [
        f"## {spec.title} (`{spec.name}`)",
        table(["", ""], facts(spec)),
        "What it promises:",
        table(["verb", "the same operation again", "a query", '"not found"'], promises(spec)),
        "Settings of an account:",
        table(["setting", "kind", "default"], settings(spec.settings)),
        "Its words:",
        table(["word", "means"], words(spec)),
    ]


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


def promises(spec: ProviderSpec) -> list[tuple[str, ...]]:
    """The uncertainty of each verb."""
    return [(code(verb), *uncertainty(each.uncertainty)) for verb, each in spec.verbs.items() if verb is not Verb.QUERY]


def uncertainty(said: Uncertainty) -> tuple[str, str, str]:
    """What sending again does, whether a query tells the truth, and what it proves that nothing is found."""
    window = f", for {said.window_s} s" if said.window_s is not None else ""
    asked = "tells the truth" if said.lookup == "authoritative" else "is not possible"
    absent = (
        "proves nothing" if said.absence_after_s is None else f"after {said.absence_after_s:g} s: it did not happen"
    )
    return AGAIN[said.idempotency] + window, asked, absent if said.lookup == "authoritative" else ""


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
