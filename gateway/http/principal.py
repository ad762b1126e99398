"""Who asks: an API key, or a person who has signed in."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.addresses import Network


class Principal(Struct, frozen=True, kw_only=True):
    """For whom a request is made, and what it may do. One of `key_id` and `user_id` is set.

    `livemode` comes from the key; a person says it by header, which is read in one place. `grants` are the permissions
    ("payments:read"); None: everything. `networks` are where a key may be used from; None: anywhere. `merchant_id` is
    nil where a person acts on the installation.
    """

    merchant_id: UUID
    livemode: bool
    key_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    grants: frozenset[str] | None = None
    networks: tuple[Network, ...] | None = None
    expires_at: datetime | None = None

    @property
    def actor(self) -> str:
        """The public id of who acts, as audit rows name him: "key_…" or "usr_…"."""
        if self.key_id is not None:
            return ids.show(ids.API_KEY, self.key_id)
        assert self.user_id is not None
        return ids.show(ids.USER, self.user_id)

    def may(self, permission: str | None) -> bool:
        """Whether the permission is granted; None asks for none."""
        return permission is None or self.grants is None or permission in self.grants
