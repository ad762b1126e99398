"""M-Pesa's callbacks, the results of requests that were only accepted: unsigned, so they prove nothing and make us ask.

They come to the account's address, which the portal knows, and name our request. M-Pesa's id of the transaction is not
taken from them: a reversal goes by it, and anybody could name another's.
"""

import msgspec

from providers.contract import CallbackRequest, CallbackUnreadable, HttpResponse, Notice
from providers.http import read_callback
from providers.mpesa import wire


def parse(request: CallbackRequest) -> list[Notice]:
    """What became of a request, as M-Pesa (or anybody) says."""
    said = read_callback(wire.decode, request.body)
    if said.reference is None:
        raise CallbackUnreadable("no ThirdPartyConversationID")
    return [Notice(outcome=wire.outcome(said), reference=said.reference)]


def acknowledge(request: CallbackRequest) -> HttpResponse:
    """The documented confirmation, which repeats both names of the request."""
    said = wire.read(request.body)
    body = {
        "output_OriginalConversationID": said.conversation,
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
        "output_ThirdPartyConversationID": said.reference,
    }
    return HttpResponse(status=200, headers={"content-type": "application/json"}, content=msgspec.json.encode(body))
