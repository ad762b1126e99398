"""/v1/admin: the installation's merchants, people and statistics, for its owners."""

from datetime import datetime, timedelta
from typing import Annotated, Final, TypeAlias

from litestar import Controller, Response, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway import ids, passwords
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, missing, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.payments.errors import invalid
from gateway.roles import Role
from gateway.store import merchants, users
from gateway.usecases import manage_merchants, manage_users
from gateway.usecases.manage_users import NewUser, UserChange
from gateway.usecases.statistics import DAY, LONGEST_WINDOW, statistics

Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
Password: TypeAlias = Annotated[str, Meta(min_length=passwords.SHORTEST, max_length=passwords.LONGEST)]
_FIRST_YEAR: Final = 2020


class CreateMerchant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/admin/merchants."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]


class CreateUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/admin/users. Without a password one is made, and shown this once."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    role: Role
    password: Password | None = None

    def __repr__(self) -> str:
        """Without the password."""
        return f"CreateUser(role={self.role!r})"


class UpdateUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH /v1/admin/users/{id}: what is left out stays as it is. Every session of the person ends."""

    role: Role | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET

    def __repr__(self) -> str:
        """Without the password."""
        return f"UpdateUser(role={self.role!r}, disabled={self.disabled!r})"


class MerchantQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/admin/merchants has no filters."""


class UserQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/admin/users has no filters."""


class StatisticsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The window of GET /v1/admin/statistics, by when payments were made; by default the last 24 hours."""

    created_from: Instant | None = None
    created_to: Instant | None = None


class MerchantController(Controller):
    """Tenants."""

    path = "/v1/admin/merchants"
    opt = scopes.of_installation("merchants")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make a merchant; the answer alone shows its first key, a test key."""
        body = await read_json(request, CreateMerchant)
        asking = asker(request, body, repeatable=True)
        done = await manage_merchants.create(services_of(request), asking, body.value.name)
        return answer(done.body, 201, _made(f"/v1/admin/merchants/{ids.show(ids.MERCHANT, done.object_id)}"))

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of merchants, newest first."""
        query = cursors.read_query(request.scope, MerchantQuery)
        async with services_of(request).reading() as connection:
            found = await merchants.page(connection, after_id(query), query.limit + 1)
        return page_by_id([(each.id, manage_merchants.shown(each)) for each in found], query.limit)

    @get("/{merchant_id:str}")
    async def read(self, request: Authenticated, merchant_id: FromPath[str]) -> Response[bytes]:
        """One merchant."""
        wanted = read_id(ids.MERCHANT, merchant_id, "merchant")
        async with services_of(request).reading() as connection:
            found = await merchants.get(connection, wanted)
        if found is None:
            raise missing("merchant")
        return answer(manage_merchants.shown(found))


class UserController(Controller):
    """People who may sign in."""

    path = "/v1/admin/users"
    opt = scopes.of_installation("users")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make a person."""
        body = await read_json(request, CreateUser)
        wanted = body.value
        if not manage_users.is_email(wanted.email):
            raise invalid("/email", "invalid", "Write one e-mail address.")
        new = NewUser(email=wanted.email, role=wanted.role, password=wanted.password)
        done = await manage_users.create(services_of(request), asker(request, body, repeatable=True), new)
        headers = _made(f"/v1/admin/users/{ids.show(ids.USER, done.object_id)}")
        return answer(done.body, 201, headers, replayed=done.replayed)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of people, newest first, those that may not sign in any more included."""
        query = cursors.read_query(request.scope, UserQuery)
        async with services_of(request).reading() as connection:
            found = await users.page(connection, after_id(query), query.limit + 1)
        return page_by_id([(each.id, manage_users.shown(each)) for each in found], query.limit)

    @get("/{user_id:str}")
    async def read(self, request: Authenticated, user_id: FromPath[str]) -> Response[bytes]:
        """One person."""
        wanted = read_id(ids.USER, user_id, "user")
        async with services_of(request).reading() as connection:
            found = await users.get(connection, wanted)
        if found is None:
            raise missing("user")
        return answer(manage_users.shown(found))

    @patch("/{user_id:str}")
    async def update(self, request: Authenticated, user_id: FromPath[str]) -> Response[bytes]:
        """Change a person's role or password, or whether he may sign in."""
        wanted = read_id(ids.USER, user_id, "user")
        body = await read_json(request, UpdateUser)
        asked = body.value
        change = UserChange(
            role=None if asked.role is UNSET else asked.role,
            password=None if asked.password is UNSET else asked.password,
            disabled=None if asked.disabled is UNSET else asked.disabled,
        )
        return answer((await manage_users.update(services_of(request), asker(request), wanted, change)).body)


class StatisticsController(Controller):
    """How the installation does."""

    path = "/v1/admin/statistics"
    opt = scopes.of_installation("statistics")

    @get()
    async def read(self, request: Authenticated) -> Response[bytes]:
        """Payments by status, provider and currency, and what waits for somebody."""
        query, services = cursors.read_query(request.scope, StatisticsQuery), services_of(request)
        until = query.created_to or services.clock.now()
        since = query.created_from or until - DAY
        if min(since, until).year < _FIRST_YEAR or not timedelta(0) < until - since <= LONGEST_WINDOW:
            raise invalid("/created_from", "out_of_range", "Write a window of at most 31 days, its beginning first.")
        return answer(await statistics(services, since, until))


def _made(location: str) -> dict[str, str]:
    return {"Location": location, "Cache-Control": "no-store"}
