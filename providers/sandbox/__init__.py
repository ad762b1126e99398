"""The sandbox: a provider that moves no money and misbehaves on request, served by its own simulator.

How it behaves is chosen by the payer's phone or card token: `simulator.BEHAVIOURS` is the table.
"""

from typing import Final

from providers.contract import READING, CallbackSpec, ProviderSpec, Verb, VerbSpec
from providers.sandbox import callbacks, operations, spec

SPEC: Final = ProviderSpec(
    name="sandbox",
    title="Sandbox",
    countries=spec.COUNTRIES,
    currencies=spec.CURRENCIES,
    methods=spec.METHODS,
    limits=spec.LIMITS,
    settings=spec.SandboxAccount,
    identity=spec.IDENTITY,
    base_url=spec.base_url,
    authenticate=operations.authenticate,
    verbs={
        **dict.fromkeys(
            (Verb.CHARGE, Verb.AUTHORIZE, Verb.PAYOUT), VerbSpec(flow=operations.begin, uncertainty=spec.BY_KEY)
        ),
        **dict.fromkeys(
            (Verb.CAPTURE, Verb.VOID, Verb.REFUND), VerbSpec(flow=operations.follow, uncertainty=spec.BY_KEY)
        ),
        Verb.CONFIRM: VerbSpec(flow=operations.confirm, uncertainty=spec.BY_KEY),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse, verify=callbacks.verify, headers=callbacks.HEADERS),
    check=operations.check,
    queries=spec.QUERIES,
    statuses=spec.STATUSES,
    declines=spec.DECLINES,
)
