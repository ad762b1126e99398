"""C-Pay's callbacks: unsigned, so they prove nothing and only make us ask.

They come to the request's redirectUrl in the shape of an answer, several times until one is answered 2xx.
"""

from providers.contract import CallbackRequest, CallbackUnreadable, Notice
from providers.cpay import wire
from providers.http import read_callback


def parse(request: CallbackRequest) -> list[Notice]:
    """How the payment stands, as C-Pay (or anybody) says."""
    said = read_callback(wire.answer, request.body)
    if said.exttransactionid is None:
        raise CallbackUnreadable("no extTransactionId")
    return [Notice(outcome=wire.outcome(said), reference=said.exttransactionid, provider_reference=said.transaction)]
