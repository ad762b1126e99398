"""/v1/callbacks: what providers sent, and what became of it."""

from typing import Literal

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.payments.requests import Nothing
from gateway.store import callback_log as store
from gateway.usecases import replay_callback


class CallbackQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/callbacks."""

    provider: str | None = None
    state: Literal["received", "parked", "processed"] | None = None


class CallbackController(Controller):
    """Callbacks to the accounts of the key's merchant, in the key's mode."""

    path = "/v1/callbacks"
    opt = scopes.opt("callbacks")

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of callbacks, newest first."""
        query, user = cursors.read_query(request.scope, CallbackQuery), request.user
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection,
                user.merchant_id,
                user.livemode,
                provider=query.provider,
                state=query.state,
                after=after_id(query),
                limit=query.limit + 1,
            )
        shown = [(each.id, replay_callback.shown(each, livemode=user.livemode)) for each in found]
        return page_by_id(shown, query.limit)

    @post("/{callback_id:str}/replay", status_code=200)
    async def replay(self, request: Authenticated, callback_id: FromPath[str]) -> Response[bytes]:
        """Have it handled again."""
        wanted = read_id(ids.CALLBACK, callback_id, "callback")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        done = await replay_callback.replay(services_of(request), asking, wanted)
        return answer(done.body, replayed=done.replayed)
