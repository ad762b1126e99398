"""The configuration tables as advanced-alchemy models. Migrations make the schema; these describe four tables of it.

Ids come from `gateway.ids`, never from a default; times come from the database.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from advanced_alchemy.base import CommonTableAttributes
from sqlalchemy import Boolean, DateTime, ForeignKey, Index, Integer, LargeBinary, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(CommonTableAttributes, DeclarativeBase):
    """The base of the models: SQLAlchemy's own, since advanced-alchemy's ready-made ones add a sentinel column."""

    type_annotation_map: ClassVar = {
        UUID: Uuid(),
        str: Text(),
        bool: Boolean(),
        int: Integer(),
        bytes: LargeBinary(),
        datetime: DateTime(timezone=True),
    }


class Merchant(Table):
    """A tenant."""

    __tablename__ = "merchants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Table):
    """A merchant's key; only its hash and first characters."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    livemode: Mapped[bool]
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    resources: Mapped[dict[str, str] | None] = mapped_column(JSONB(none_as_null=True))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    ip_ranges: Mapped[list[str] | None] = mapped_column(ARRAY(Text()))
    last_used_at: Mapped[datetime | None]

    __table_args__ = (Index("api_keys_merchant", "merchant_id", "livemode", text("id DESC")),)


class Account(Table):
    """A merchant's account at a provider; its credentials are the `AccountSettings` of `settings_version`."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    provider: Mapped[str]
    livemode: Mapped[bool]
    label: Mapped[str] = mapped_column(server_default="")
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    priority: Mapped[int] = mapped_column(server_default="100")
    callback_token: Mapped[str] = mapped_column(unique=True)
    settings_version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_check: Mapped[dict[str, str | None] | None] = mapped_column(JSONB(none_as_null=True))
    countries: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    currencies: Mapped[list[str] | None] = mapped_column(ARRAY(Text))

    __table_args__ = (Index("accounts_merchant", "merchant_id", "livemode", "priority", "created_at"),)


class AccountSettings(Table):
    """One version of an account's credentials, sealed; operations pin the version that they were sent with."""

    __tablename__ = "account_settings"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
