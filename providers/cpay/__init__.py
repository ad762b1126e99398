"""C-Pay (Chaperone, Lesotho): collections in LSL from C-Pay wallets, by USSD push or by OTP."""

from typing import Final

from providers.contract import READING, CallbackSpec, ProviderSpec, Verb, VerbSpec
from providers.cpay import callbacks, operations, spec

SPEC: Final = ProviderSpec(
    name="cpay",
    title="C-Pay",
    countries=spec.COUNTRIES,
    currencies=spec.CURRENCIES,
    methods=spec.METHODS,
    limits=spec.LIMITS,
    settings=spec.CPayAccount,
    identity=spec.IDENTITY,
    base_url=lambda settings, livemode: settings.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=spec.NEVER_TWICE),
        Verb.CONFIRM: VerbSpec(flow=operations.confirm, uncertainty=spec.NEVER_TWICE),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse),
    statuses=spec.STATUSES,
    declines={**spec.DECLINES, **spec.REQUEST_ERRORS},
    ca_bundle=lambda settings: settings.ca_bundle,
)
