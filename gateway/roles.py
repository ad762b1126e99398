"""What people may do, by role. People belong to the installation, and act on its merchants.

| role | on merchants' resources | on the installation |
|---|---|---|
| owner | everything | merchants, users, statistics, its audit trail |
| operator | reads everything; writes what settles a payment, and what repairs a delivery | nothing |
| viewer | reads everything | nothing |
"""

from typing import Final, Literal, TypeAlias, get_args

from gateway.scopes import Resource, Resources, granted

Role: TypeAlias = Literal["owner", "operator", "viewer"]

_ALL_READ: Final[Resources] = dict.fromkeys(get_args(Resource), "read")

# None: everything, the installation included. Payouts, accounts, routing and keys decide where money goes: owners only.
MAY: Final[dict[Role, Resources | None]] = {
    "owner": None,
    "operator": {
        **_ALL_READ,
        "payments": "write",
        "refunds": "write",
        "reviews": "write",
        "callbacks": "write",
        "webhook_endpoints": "write",
    },
    "viewer": _ALL_READ,
}


def grants(role: Role) -> frozenset[str] | None:
    """The permissions of a role ("payments:read"); None: everything."""
    return granted(MAY[role])
