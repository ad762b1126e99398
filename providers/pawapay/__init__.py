"""pawaPay: mobile money in Africa, in and out, with signed callbacks; its way to Lesotho is M-Pesa (MPESA_LSO)."""

from typing import Final

from providers.contract import READING, CallbackSpec, ProviderSpec, Verb, VerbSpec
from providers.pawapay import callbacks, operations, spec
from providers.references import UUID4

SPEC: Final = ProviderSpec(
    name="pawapay",
    title="pawaPay",
    countries=spec.COUNTRIES,
    currencies=spec.CURRENCIES,
    methods=frozenset({"mobile_money"}),
    limits=spec.LIMITS,
    settings=spec.PawaPayAccount,
    identity=spec.IDENTITY,
    base_url=lambda settings, livemode: settings.base_url or spec.BASE_URLS[livemode],
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=spec.BY_ID),
        Verb.REFUND: VerbSpec(flow=operations.refund, uncertainty=spec.BY_ID),
        Verb.PAYOUT: VerbSpec(flow=operations.payout, uncertainty=spec.BY_ID),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=UUID4,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse, verify=callbacks.verify, for_account=callbacks.of_account),
    check=operations.check,
    statuses=spec.STATUSES,
    declines=spec.FAILURES,
    whole_units=frozenset({"KES"}),  # M-PESA Kenya takes deposits without decimals
    trigger_phones=spec.TRIGGER_PHONES,
)
