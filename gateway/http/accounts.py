"""/v1/accounts: a merchant's credentials at providers."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway import account_settings, ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, missing, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.http.violations import refused, violation
from gateway.payments.errors import FieldError, invalid
from gateway.payments.requests import Nothing
from gateway.settings import decode_secret
from gateway.store import configured_accounts as store
from gateway.store.configured_accounts import StoredAccount
from gateway.usecases import check_account, manage_accounts
from gateway.usecases.manage_accounts import NewAccount
from providers.contract import ProviderSpec
from providers.registry import PROVIDERS


class CreateAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/accounts. `settings` follow the provider's `settings_schema`."""

    provider: Annotated[str, Meta(max_length=40)]
    settings: dict[str, Any] = {}
    label: Annotated[str, Meta(max_length=100)] = ""
    priority: Annotated[int, Meta(ge=0, le=10_000, description="The router prefers the lowest.")] = 100
    enabled: bool = True


class UpdateAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH /v1/accounts/{id}: what is left out stays as it is, of `settings` too."""

    settings: dict[str, Any] | UnsetType = UNSET
    label: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=10_000)] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class AccountQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/accounts has no filters."""


class AccountController(Controller):
    """Accounts of the key's merchant, in the key's mode."""

    path = "/v1/accounts"
    opt = scopes.opt("accounts")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Make an account."""
        body = await read_json(request, CreateAccount)
        services, wanted = services_of(request), body.value
        spec = PROVIDERS.get(wanted.provider)
        if spec is None:
            raise invalid("/provider", "invalid", "There is no such provider: GET /v1/providers lists them.")
        asking = asker(request, body, repeatable=True)
        settings = _new_settings(spec, wanted.settings)
        account_settings.check(
            spec,
            msgspec.structs.asdict(settings),
            livemode=request.user.livemode,
            private_targets=services.settings.private_targets,
        )
        new = NewAccount(
            provider=wanted.provider,
            settings=settings,
            label=wanted.label,
            priority=wanted.priority,
            enabled=wanted.enabled,
        )
        done = await manage_accounts.create(services, asking, new)
        headers = {"Location": f"/v1/accounts/{ids.show(ids.ACCOUNT, done.object_id)}"}
        return answer(done.body, 201, headers, replayed=done.replayed)

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of accounts, newest first."""
        services, user = services_of(request), request.user
        query = cursors.read_query(request.scope, AccountQuery)
        async with services.reading() as connection:
            found = await store.page(connection, user.merchant_id, user.livemode, after_id(query), query.limit + 1)
        return page_by_id([(each.id, manage_accounts.shown(services, each)) for each in found], query.limit)

    @get("/{account_id:str}")
    async def read(self, request: Authenticated, account_id: FromPath[str]) -> Response[bytes]:
        """One account."""
        account = await _find(request, read_id(ids.ACCOUNT, account_id, "account"))
        return answer(manage_accounts.shown(services_of(request), account))

    @patch("/{account_id:str}")
    async def update(self, request: Authenticated, account_id: FromPath[str]) -> Response[bytes]:
        """Change what may change, and replace secrets."""
        wanted_id = read_id(ids.ACCOUNT, account_id, "account")
        body = await read_json(request, UpdateAccount)
        members = account_settings.given(body.value)
        settings = members.pop("settings", None)
        account = await _find(request, wanted_id)
        renewed = None if settings is None else _changed_settings(PROVIDERS[account.provider], settings)
        done = await manage_accounts.update(services_of(request), asker(request, body), wanted_id, members, renewed)
        return answer(done.body)

    @delete("/{account_id:str}", status_code=200)
    async def disable(self, request: Authenticated, account_id: FromPath[str]) -> Response[bytes]:
        """Take no new payments with it; those that it has go on."""
        wanted_id = read_id(ids.ACCOUNT, account_id, "account")
        done = await manage_accounts.update(services_of(request), asker(request), wanted_id, {"enabled": False}, None)
        return answer(done.body)

    @post("/{account_id:str}/check", status_code=200)
    async def check(self, request: Authenticated, account_id: FromPath[str]) -> Response[bytes]:
        """Ask the provider whether the credentials work; no money moves."""
        wanted_id = read_id(ids.ACCOUNT, account_id, "account")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        done = await check_account.check(services_of(request), asking, wanted_id)
        return answer(done.body, replayed=done.replayed)


async def _find(request: Authenticated, account_id: UUID) -> StoredAccount:
    async with services_of(request).reading() as connection:
        account = await store.get(connection, request.user.merchant_id, request.user.livemode, account_id)
    if account is None:
        raise missing("account")
    return account


def _new_settings(spec: ProviderSpec, members: dict[str, Any]) -> Struct:
    strict = _converted(members, account_settings.complete(spec.settings))
    return spec.settings(**msgspec.structs.asdict(strict))


def _changed_settings(spec: ProviderSpec, members: dict[str, Any]) -> Struct:
    return _converted(members, account_settings.partial(spec.settings))


def _converted(members: dict[str, Any], model: type[Struct]) -> Struct:
    """Raises 400 that points below /settings."""
    try:
        return msgspec.convert(members, model, dec_hook=decode_secret)
    except msgspec.ValidationError as error:
        found = violation(error, members, model)
        raise refused(FieldError(f"/settings{found.pointer}", found.code, found.detail)) from None
