"""Daraja's callbacks: unsigned, tried once as a rule. What each is about, the address says that we gave for it.

A push's callback, and a payment from a handset, only make us ask. A result is the late answer to a request of ours where
it quotes the ConversationID of its acknowledgement (the gateway compares).
"""

import msgspec

from providers.contract import CallbackRequest, CallbackUnreadable, HttpResponse, Notice, Pending
from providers.daraja import spec, wire
from providers.http import read_callback


def parse(request: CallbackRequest) -> list[Notice]:
    """One fact, or none: a validation is a question, and a status query that comes too late is asked again anyway."""
    said = read_callback(wire.callback, request.body)
    try:
        if said.body is not None:
            return [_pushed(said.body.push)]
        if said.result is not None:
            return _answered(said.result, request.query)
        if said.receipt is not None:
            return [] if request.query == spec.VALIDATION else [_paid(said, said.receipt)]
    except ValueError:
        raise CallbackUnreadable("an amount that is none") from None
    raise CallbackUnreadable("neither a push, nor a result, nor a payment")


def ack(request: CallbackRequest) -> HttpResponse:
    """Taken; and to a validation, that the payment may be made: what nobody ordered is shown as unmatched."""
    validates = request.query == spec.VALIDATION
    body = {"ResultCode": "0", "ResultDesc": "Accepted"} if validates else {"ResultCode": 0, "ResultDesc": "Success"}
    return HttpResponse(status=200, headers={"content-type": "application/json"}, content=msgspec.json.encode(body))


def _pushed(push: wire.Push) -> Notice:
    success = wire.push_success(push)
    return Notice(outcome=wire.pushed(push.code, push.words, success), provider_reference=push.checkout)


def _answered(result: wire.Result, about: str) -> list[Notice]:
    name = wire.conversation(result)
    if about == spec.STATUS_LATE:
        return []
    if about == spec.RESULT_LATE:  # not done in time; it may still be
        return [Notice(outcome=Pending(), provider_reference=name)]
    outcome = wire.status(result) if about == spec.STATUS_RESULT else wire.result(result)
    return [Notice(outcome=outcome, provider_reference=name, answer=True)]


def _paid(said: wire.Callback, receipt: str) -> Notice:
    """A payment to our AccountReference, as the payer typed it."""
    account = (said.account or "").strip().upper()
    outcome = wire.success(receipt, said.amount)
    return Notice(outcome=outcome, reference=account, provider_reference=wire.receipt_of(receipt), event_id=receipt)
