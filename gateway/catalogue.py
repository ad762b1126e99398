"""The catalogue of providers: what their specs declare, as a merchant sees it."""

from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway import account_settings
from providers.contract import Limit, ProviderSpec, Uncertainty
from providers.registry import PROVIDERS


class ProviderObject(Struct, frozen=True, kw_only=True):
    """A provider that accounts can be made at. `limits` are minor units, by currency.

    `uncertainty` is what the provider promises, by verb: whether a repetition has a second effect, and whether "not
    found" proves anything. `settings_schema` is the JSON Schema of an account's `settings`.
    """

    object: Literal["provider"] = "provider"
    name: str
    title: str
    countries: list[str]
    currencies: list[str]
    limits: dict[str, Limit]
    methods: list[str]
    verbs: list[str]
    callback: Literal["signed", "unsigned"] | None
    uncertainty: dict[str, Uncertainty]
    settings_schema: dict[str, Any]


def provider(name: str) -> bytes | None:
    """The bytes of one entry, or None."""
    return _entries().get(name)


def providers() -> list[bytes]:
    """The bytes of every entry, by name."""
    return list(_entries().values())


@cache
def _entries() -> dict[str, bytes]:
    return {name: msgspec.json.encode(describe(spec)) for name, spec in sorted(PROVIDERS.items())}


def describe(spec: ProviderSpec) -> ProviderObject:
    """The entry of one provider."""
    return ProviderObject(
        name=spec.name,
        title=spec.title,
        countries=sorted(spec.countries),
        currencies=sorted(spec.currencies),
        limits=dict(sorted(spec.limits.items())),
        methods=sorted(spec.methods),
        verbs=[str(verb) for verb in spec.verbs],
        callback=None if spec.callback is None else "signed" if spec.callback.verify else "unsigned",
        uncertainty={str(verb): each.uncertainty for verb, each in spec.verbs.items()},
        settings_schema=account_settings.schema(spec.settings),
    )
