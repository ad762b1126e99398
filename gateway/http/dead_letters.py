"""/v1/dead_letters: what workers could not handle of what concerns the merchant."""

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from gateway import ids
from gateway.http import cursors, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, asker, page_by_id, read_id, services_of
from gateway.http.json_body import read_json
from gateway.payments.requests import Nothing
from gateway.store import dead_letters as store
from gateway.usecases import replay_dead_letter


class DeadLetterQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """GET /v1/dead_letters has no filters."""


class DeadLetterController(Controller):
    """Dead letters that name an account of the key's merchant, in the key's mode. The others are for operators."""

    path = "/v1/dead_letters"
    opt = scopes.opt("callbacks")

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of dead letters, newest first."""
        query, user = cursors.read_query(request.scope, DeadLetterQuery), request.user
        async with services_of(request).reading() as connection:
            found = await store.page(connection, user.merchant_id, user.livemode, after_id(query), query.limit + 1)
        return page_by_id([(each.id, replay_dead_letter.shown(each)) for each in found], query.limit)

    @post("/{dead_letter_id:str}/replay", status_code=200)
    async def replay(self, request: Authenticated, dead_letter_id: FromPath[str]) -> Response[bytes]:
        """Send it to its topic again."""
        wanted = read_id(ids.DEAD_LETTER, dead_letter_id, "dead letter")
        asking = asker(request, await read_json(request, Nothing), repeatable=True)
        done = await replay_dead_letter.resend(services_of(request), asking, wanted)
        return answer(done.body, replayed=done.replayed)
