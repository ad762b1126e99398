"""A provider's settings Struct as the API takes and shows it: strict, secrets going in and never coming out."""

from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.addresses import URL_TEXT
from gateway.payments.errors import MyPayError, invalid
from providers.addresses import is_public_host
from providers.contract import ProviderSpec, Secret
from providers.redaction import MASK

SECRET_LENGTH: Final = 4096


# --- What is accepted -------------------------------------------------------------------------------------------------


@cache
def complete(settings: type[Struct]) -> type[Struct]:
    """The settings of a new account: the provider's own Struct, without unknown members."""
    return _derived(settings, [])


@cache
def partial(settings: type[Struct]) -> type[Struct]:
    """A change of settings: every member may be left out, and then is UNSET."""
    fields = [(each.name, each.type | UnsetType, UNSET) for each in msgspec.structs.fields(settings)]
    return _derived(settings, fields)


def _derived(settings: type[Struct], fields: list[tuple[str, Any, Any]]) -> type[Struct]:
    return msgspec.defstruct(
        settings.__name__,
        fields,
        bases=(settings,),
        namespace={"__doc__": settings.__doc__},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def given(settings: Struct) -> dict[str, Any]:
    """The members that are there: those of `partial` that are not UNSET."""
    return {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not UNSET}


def check(
    spec: ProviderSpec, members: dict[str, Any], *, livemode: bool, private_targets: bool, pointer: str = "/settings"
) -> None:
    """What the types do not say about members that were given. Raises 400.

    `private_targets`: the installation lets test accounts send to any address (a development setting).
    """
    for name, value in members.items():
        if isinstance(value, Secret):
            _check_secret(value, f"{pointer}/{name}")
    if members.get("base_url") is not None:
        if livemode and not _is_required(spec.settings, "base_url"):
            raise invalid(f"{pointer}/base_url", "invalid", "Only a test account may choose another address.")
        _check_address(members["base_url"], f"{pointer}/base_url", anywhere=private_targets and not livemode)


def _check_secret(value: Secret, pointer: str) -> None:
    if value == MASK:
        raise invalid(pointer, "invalid", "Write the secret itself, or leave it out to keep the one that is stored.")
    if not value or len(value) > SECRET_LENGTH:
        raise invalid(pointer, "invalid", f"A secret has 1 to {SECRET_LENGTH} characters.")


def _is_required(settings: type[Struct], name: str) -> bool:
    return any(each.name == name and each.required for each in msgspec.structs.fields(settings))


def _check_address(url: str, pointer: str, *, anywhere: bool) -> None:
    """Literal addresses only: what a name resolves to is known when it is connected to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise invalid(pointer, "invalid", "This is not an address.") from None
    schemes = ("http", "https") if anywhere else ("https",)
    is_plain = URL_TEXT.fullmatch(url) and not ({"@", "?", "#"} & set(url))
    if parts.scheme not in schemes or not host or not is_plain:
        expected = " or ".join(schemes)
        raise invalid(pointer, "invalid", f"Write an {expected} address without user name, query and fragment.")
    if not anywhere and not is_public_host(host):
        raise invalid(pointer, "invalid", "This address is not on the public internet.")


def refuse_identity(spec: ProviderSpec, before: Struct, changed: dict[str, Any]) -> None:
    """Refuse a change of what identifies money. Raises 409 `settings_immutable`."""
    moved = sorted(name for name in spec.identity & changed.keys() if changed[name] != getattr(before, name))
    if moved:
        raise MyPayError("settings_immutable", f"These settings never change: {', '.join(moved)}.")


# --- What is shown ----------------------------------------------------------------------------------------------------


def masked(settings: Struct) -> dict[str, Any]:
    """The settings with three stars for every secret."""
    members = msgspec.structs.asdict(settings)
    return {name: MASK if isinstance(value, Secret) else value for name, value in members.items()}


@cache
def schema(settings: type[Struct]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the settings; secrets are `writeOnly`, and their defaults are not told."""
    secret_defaults = [
        (each.name, each.type | UnsetType, UNSET)
        for each in msgspec.structs.fields(settings)
        if isinstance(each.default, Secret)
    ]
    model = _derived(settings, secret_defaults)
    _, components = msgspec.json.schema_components((model,), schema_hook=_schema_hook, ref_template="#/$defs/{name}")
    found: dict[str, Any] = components.pop(settings.__name__)
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    return {**found, "$defs": components} if components else found


def _schema_hook(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password", "writeOnly": True}
    raise NotImplementedError
