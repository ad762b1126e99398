"""Standard Bank Pay: payments that the payer approves at the bank, and a frame for other banks that do likewise."""

from typing import Final

from providers.contract import READING, CallbackSpec, ProviderSpec, Verb, VerbSpec
from providers.references import UUID4
from providers.standard_bank_pay import callbacks, operations, spec

SPEC: Final = ProviderSpec(
    name="standard_bank_pay",
    title="Standard Bank Pay",
    countries=frozenset({"LS", "ZA"}),
    currencies=spec.CURRENCIES,
    methods=frozenset({"mobile_money"}),
    limits=spec.LIMITS,
    settings=spec.StandardBankPayAccount,
    identity=frozenset({"base_url", "client_id"}),
    base_url=spec.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=spec.NEVER_TWICE),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=UUID4,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse, verify=callbacks.verify, for_account=callbacks.of_account),
    check=operations.check,
    statuses=spec.STATUSES,
    declines=spec.DECLINES,
)
