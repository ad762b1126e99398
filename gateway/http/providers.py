"""/v1/providers: the catalogue."""

from litestar import Controller, Response, get
from litestar.params import FromPath
from msgspec import Struct

from gateway import catalogue
from gateway.http import cursors, scopes
from gateway.http.handling import Authenticated, answer, missing


class CatalogueQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """GET /v1/providers takes no parameters: the catalogue is one page."""


class ProviderController(Controller):
    """The providers of this installation: the same for every key."""

    path = "/v1/providers"
    opt = scopes.opt(None)

    @get(sync_to_thread=False)
    def page(self, request: Authenticated) -> Response[bytes]:
        """All of them, by name."""
        cursors.read_query(request.scope, CatalogueQuery)
        return answer(cursors.page(catalogue.providers(), has_more=False, following=None))

    @get("/{name:str}", sync_to_thread=False)
    def read(self, name: FromPath[str]) -> Response[bytes]:
        """One of them."""
        found = catalogue.provider(name)
        if found is None:
            raise missing("provider")
        return answer(found)
