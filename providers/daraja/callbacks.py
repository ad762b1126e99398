"""Daraja's callbacks: unsigned, and as a rule tried once. The address that we gave for it says what each is about.

A push's callback and a payment from a handset only make us ask. A result is the answer to a request of ours, where it
quotes the conversation that the request's acknowledgement named (which the gateway compares).
"""

import msgspec

from providers.contract import CallbackRequest, CallbackUnreadable, HttpResponse, Notice, Pending
from providers.daraja import spec, wire
from providers.http import read_callback


def parse(request: CallbackRequest) -> list[Notice]:
    """One fact, or none: a validation is a question, and a query that got no answer in time is asked again anyway."""
    said = read_callback(wire.callback, request.body)
    try:
        if said.Body is not None:
            push = said.Body.stk
            return [Notice(outcome=wire.pushed(push, wire.paid(push)), provider_reference=push.CheckoutRequestID)]
        if said.late is not None:
            return _answered(said.late, request.query)
        if said.TransID is not None:
            return [] if request.query == spec.VALIDATION else [_paid(said, said.TransID)]
    except ValueError:
        raise CallbackUnreadable("an amount that is none") from None
    raise CallbackUnreadable("neither a push, nor a result, nor a payment")


def ack(request: CallbackRequest) -> HttpResponse:
    """Taken; to a validation: go on, since what nobody ordered is shown to the merchant as unmatched."""
    validates = request.query == spec.VALIDATION
    body = {"ResultCode": "0", "ResultDesc": "Accepted"} if validates else {"ResultCode": 0, "ResultDesc": "Success"}
    return HttpResponse(status=200, headers={"content-type": "application/json"}, content=msgspec.json.encode(body))


def _answered(result: wire.Result, about: str) -> list[Notice]:
    name = wire.conversation(result)
    if about.endswith(spec.LATE):  # it may still be done; a question is asked again anyway
        return [] if about.startswith(spec.STATUS) else [Notice(outcome=Pending(), provider_reference=name)]
    outcome = wire.status(result) if about == spec.STATUS else wire.result(result, about)
    return [Notice(outcome=outcome, provider_reference=name, answer=True)]


def _paid(said: wire.Callback, receipt: str) -> Notice:
    """A payment to our AccountReference, as the payer typed it, or to something else."""
    account, outcome = (said.BillRefNumber or "").strip().upper(), wire.success(receipt, said.TransAmount)
    return Notice(outcome=outcome, reference=account, provider_reference=outcome.provider_reference, event_id=receipt)
