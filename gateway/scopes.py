"""What a restricted key may do: read or write resources. Who may write may read."""

from typing import Literal, TypeAlias

import msgspec

Resource: TypeAlias = Literal[
    "payments",
    "refunds",
    "payouts",
    "events",
    "webhook_endpoints",
    "accounts",
    "routing",
    "api_keys",
    "audit_events",
    "callbacks",
    "reviews",
]
# What belongs to the installation: for people alone, no key can be granted it.
InstallationResource: TypeAlias = Literal["merchants", "users", "statistics"]
Access: TypeAlias = Literal["read", "write"]
Resources: TypeAlias = dict[Resource, Access]

decode = msgspec.json.Decoder(Resources).decode


def scope(resource: str, access: Access) -> str:
    """The name of one permission: "payments:read"."""
    return f"{resource}:{access}"


def granted(resources: Resources | None) -> frozenset[str] | None:
    """The permissions of a key; None for a full key, which may do everything."""
    if resources is None:
        return None
    given = {scope(name, access) for name, access in resources.items()}
    return frozenset(given | {scope(name, "read") for name in resources})
