"""Template Pay: one sentence of what it collects, in which country and currency."""

from typing import Final

from providers._template import callbacks, operations, spec
from providers.contract import READING, CallbackSpec, Limit, ProviderSpec, Uncertainty, Verb, VerbSpec

# Nothing is documented, so nothing is promised: it is never sent twice, and "not found" proves nothing.
NEVER_TWICE: Final = Uncertainty(idempotency="none", lookup="authoritative")

SPEC: Final = ProviderSpec(
    name="_template",
    title="Template Pay",
    countries=frozenset({"LS"}),
    currencies=frozenset({"LSL"}),
    methods=frozenset({"mobile_money"}),
    limits={"LSL": Limit(min=1, max=10**8)},
    settings=spec.TemplatePayAccount,
    identity=frozenset({"base_url"}),
    base_url=lambda settings, livemode: settings.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=NEVER_TWICE),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse),
    statuses=spec.STATUSES,
    declines=spec.DECLINES,
)
