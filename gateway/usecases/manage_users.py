"""The people of an installation: made and changed by owners, of whom there is always one."""

import re
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids, passwords
from gateway.payments.errors import MyPayError, invalid
from gateway.payments.views import encode, timestamp, timestamp_or_null
from gateway.roles import Role
from gateway.services import Services
from gateway.store import sessions, users
from gateway.store.database import Connection
from gateway.store.users import AddressTaken, StoredUser
from gateway.usecases.configure import Asker, Change, Configured, configure

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


class UserObject(Struct, kw_only=True):
    """A person who may sign in. `disabled_at` is null for one who still may."""

    id: str
    object: Literal["user"] = "user"
    email: str
    role: Role
    disabled_at: str | None
    created_at: str
    updated_at: str


class NewUserObject(UserObject, kw_only=True):
    """A new person. `password` is the one that was made, shown this once; null where the request gave one."""

    password: str | None


class NewUser(Struct, frozen=True, kw_only=True):
    """Who is to be made; without a password one is made up."""

    email: str
    role: Role
    password: str | None


class UserChange(Struct, frozen=True, kw_only=True):
    """What is to be changed; None: nothing."""

    role: Role | None = None
    password: str | None = None
    disabled: bool | None = None


async def create(services: Services, asker: Asker, new: NewUser) -> Configured:
    """Make a person. Raises 400 when the address is taken."""
    password = new.password or passwords.generate()
    password_hash = await _hashed(password)

    async def work(connection: Connection, now: datetime) -> Change:
        user = made(new.email, new.role, password_hash, now)
        try:
            await users.insert(connection, user)
        except AddressTaken:
            raise invalid("/email", "duplicate", "There is already a user with this e-mail address.") from None
        shown_password = None if new.password is not None else password
        body = encode(NewUserObject(**_members(user), password=shown_password))
        return _change("user.create", user, {"role": user.role}, body, shows_secret=shown_password is not None)

    return await configure(services, asker, work)


async def update(services: Services, asker: Asker, user_id: UUID, change: UserChange) -> Configured:
    """Change a person; every session of his ends, so that nobody goes on as what he was.

    Raises 404, and 400 when there would be no owner left.
    """
    password_hash = None if change.password is None else await _hashed(change.password)

    async def work(connection: Connection, now: datetime) -> Change:
        owners = await users.lock_owners(connection)
        old = await users.get(connection, user_id, lock=True)
        if old is None:
            raise MyPayError("not_found", "There is no such user.")
        new = _changed(old, change, password_hash, now)
        if old.id in owners and len(owners) == 1 and (new.role != "owner" or new.disabled_at is not None):
            pointer = "/disabled" if change.disabled else "/role"
            raise invalid(pointer, "invalid", "This is the only owner who can sign in: make another one first.")
        what = _differences(old, new)
        if what is None:
            return _change("user.update", old, None, shown(old))
        await users.update(connection, new)
        await sessions.end_all(connection, user_id, now, "user_changed")
        return _change("user.update", new, what, shown(new))

    return await configure(services, asker, work)


def is_email(text: str) -> bool:
    """Whether this can be an e-mail address; whether it is one, only a message to it would tell."""
    return _EMAIL.fullmatch(text) is not None


def made(email: str, role: Role, password_hash: str, now: datetime) -> StoredUser:
    """A new person's row."""
    return StoredUser(
        id=ids.new_at(now),
        email=email.strip(),
        password_hash=password_hash,
        role=role,
        created_at=now,
        updated_at=now,
    )


def shown(user: StoredUser) -> bytes:
    """The person as JSON."""
    return encode(user_object(user))


def user_object(user: StoredUser) -> UserObject:
    """The person as the API shows him."""
    return UserObject(**_members(user))


def _members(user: StoredUser) -> dict[str, Any]:
    return {
        "id": ids.show(ids.USER, user.id),
        "email": user.email,
        "role": user.role,
        "disabled_at": timestamp_or_null(user.disabled_at),
        "created_at": timestamp(user.created_at),
        "updated_at": timestamp(user.updated_at),
    }


def _changed(old: StoredUser, change: UserChange, password_hash: str | None, now: datetime) -> StoredUser:
    disabled_at = old.disabled_at
    if change.disabled is not None:
        disabled_at = (old.disabled_at or now) if change.disabled else None
    return msgspec.structs.replace(
        old,
        role=change.role or old.role,
        password_hash=password_hash or old.password_hash,
        disabled_at=disabled_at,
        updated_at=now,
    )


def _differences(old: StoredUser, new: StoredUser) -> dict[str, Any] | None:
    """What the audit trail says of a change; None when there is none. Of a password only that it changed."""
    found: dict[str, Any] = {}
    if new.role != old.role:
        found["role"] = new.role
    if (new.disabled_at is None) != (old.disabled_at is None):
        found["disabled"] = new.disabled_at is not None
    if new.password_hash != old.password_hash:
        found["password"] = "changed"  # noqa: S105
    return found or None


async def _hashed(password: str) -> str:
    try:
        return await passwords.hashed(password)
    except passwords.TooManyPasswords:
        raise MyPayError("unavailable", "Too many people sign in at once.") from None


def _change(
    action: str, user: StoredUser, changes: dict[str, Any] | None, body: bytes, *, shows_secret: bool = False
) -> Change:
    return Change(
        action=action,
        object_id=user.id,
        shown_id=ids.show(ids.USER, user.id),
        changes=changes,
        body=body,
        shows_secret=shows_secret,
    )
