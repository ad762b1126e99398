"""M-Pesa Daraja (Safaricom, Kenya): collections in KES by push or from the handset, payouts to wallets, reversals."""

from typing import Final

from providers.contract import READING, CallbackSpec, ProviderSpec, Verb, VerbSpec
from providers.daraja import callbacks, operations, spec

SPEC: Final = ProviderSpec(
    name="daraja",
    title="M-Pesa Daraja (Kenya)",
    countries=frozenset({"KE"}),
    currencies=frozenset({spec.CURRENCY}),
    methods=frozenset({"mobile_money"}),
    limits=spec.LIMITS,
    settings=spec.DarajaAccount,
    identity=spec.IDENTITY,
    base_url=spec.base_url,
    authenticate=operations.authenticate,
    login_expired=operations.login_expired,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=spec.PUSH_PROMISES),
        Verb.REFUND: VerbSpec(flow=operations.refund, uncertainty=spec.REFUND_PROMISES, partial=False, several=False),
        Verb.PAYOUT: VerbSpec(flow=operations.payout, uncertainty=spec.PAYOUT_PROMISES),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    receipts=spec.RECEIPTS,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse, ack=callbacks.ack),
    check=operations.check,
    queries=spec.QUERIES,
    statuses=spec.STATUSES,
    declines={**spec.RESULTS, **spec.PUSH, **spec.ERRORS, **spec.MESSAGES},
    whole_units=frozenset({spec.CURRENCY}),
    trigger_phones=spec.TEST_PHONE,
)
