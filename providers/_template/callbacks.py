"""Template Pay's callbacks: unsigned, so they prove nothing and only make us ask."""

from providers._template import wire
from providers.contract import CallbackRequest, Notice
from providers.http import read_callback


def parse(request: CallbackRequest) -> list[Notice]:
    """How the payment stands, as Template Pay (or anybody) says."""
    said = read_callback(wire.payment, request.body)
    return [Notice(outcome=wire.outcome(said), reference=said.reference, provider_reference=said.id)]
