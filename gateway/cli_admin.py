"""`mypay init` and `mypay admin`: people, from the command line of the machine that holds SECRET_KEY.

A password is never an argument: it is asked for on a terminal, read as one line from a pipe, or made and shown once.
"""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import asyncpg
import msgspec

from gateway import ids, passwords
from gateway.roles import Role
from gateway.settings import Settings
from gateway.startup import StartupError
from gateway.store import audit, sessions, users
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, connect
from gateway.store.users import AddressTaken, StoredUser
from gateway.usecases.manage_users import is_email, made
from gateway.usecases.sign_in import attempts_of

_SHOWN: Final = "Password (shown this once): {password}"

T = TypeVar("T")


def create(settings: Settings, email: str, role: Role, *, only_first: bool = False) -> int:
    """Make a person. Raises `StartupError` with one sentence; also for `only_first` where there is an owner."""
    if not is_email(email):
        raise StartupError(f"{email} is no e-mail address: write one, such as owner@example.com.")
    password, is_new = read_password()
    user = made(email, role, passwords.hash(password), datetime.now(UTC))

    async def work(connection: Connection) -> None:
        if only_first and await users.lock_owners(connection):
            raise StartupError("There is an owner already: `mypay admin create` makes another one.")
        try:
            await users.insert(connection, user)
        except AddressTaken:
            raise StartupError(
                f"There is already a user {email}: `mypay admin password` changes the password."
            ) from None
        await _record(connection, "user.create", user, {"role": role})

    _in_transaction(settings, work)
    print(f"{ids.show(ids.USER, user.id)} {role} {email}")
    return _show(password, is_new)


def set_password(settings: Settings, email: str) -> int:
    """Give a person a new password; every session of his ends, and failed attempts are forgotten."""
    password, is_new = read_password()
    password_hash, now = passwords.hash(password), datetime.now(UTC)

    async def work(connection: Connection) -> None:
        user = await users.find(connection, email)
        if user is None:
            raise StartupError(f"There is no user {email}: `mypay admin create` makes one.")
        await users.update(connection, msgspec.structs.replace(user, password_hash=password_hash, updated_at=now))
        await sessions.end_all(connection, user.id, now, "user_changed")
        await sessions.succeeded(connection, attempts_of(settings, email))
        await _record(connection, "user.update", user, {"password": "changed"})

    _in_transaction(settings, work)
    print(f"The password of {email} is changed.")
    return _show(password, is_new)


def read_password() -> tuple[str, bool]:
    """A password, and whether it was made here and must be shown. Raises `StartupError` for a short one."""
    given = _asked() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not given:
        return passwords.generate(), True
    if not passwords.SHORTEST <= len(given) <= passwords.LONGEST:
        raise StartupError(f"A password has at least {passwords.SHORTEST} characters: choose a longer one, or none.")
    return given, False


def _asked() -> str:
    given = getpass.getpass("Password (empty: make one): ")
    if given and getpass.getpass("Again: ") != given:
        raise StartupError("The two passwords differ: try again.")
    return given


def _show(password: str, is_new: bool) -> int:
    if is_new:
        print(_SHOWN.format(password=password))
    return 0


def _in_transaction(settings: Settings, work: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await connect(settings)
        try:
            async with connection.transaction():
                return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(run())
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StartupError(f"The database (DATABASE_URI) does not answer: {type(error).__name__}.") from error


async def _record(connection: Connection, action: str, user: StoredUser, changes: dict[str, str]) -> None:
    row = AuditRow(
        merchant_id=ids.NIL,
        actor=f"operator:{getpass.getuser()}",
        action=action,
        object_id=ids.show(ids.USER, user.id),
        changes=changes,
    )
    await audit.insert(connection, row, datetime.now(UTC), livemode=False)
