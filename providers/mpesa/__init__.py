"""M-Pesa OpenAPI (Vodacom): wallets in Lesotho, Tanzania, Mozambique, DR Congo and Ghana."""

from typing import Final

from providers.contract import (
    READING,
    CallbackSpec,
    Declined,
    Limit,
    ProviderSpec,
    ReferenceFormat,
    Uncertainty,
    Verb,
    VerbSpec,
)
from providers.declines import DeclineCode
from providers.mpesa import callbacks, operations, spec, wire

MARKETS: Final = tuple(spec.MARKETS.values())
_WORDS: Final = {**spec.CODES, **spec.STATES}

# A conversation id that came before is answered "Duplicate Transaction" (INS-10). "Transaction not found" (INS-23) can
# mean "not yet" for five minutes. That a reversal is found by its conversation id is not said: absence proves nothing.
PAYING: Final = Uncertainty(idempotency="reference", lookup="authoritative", absence_after_s=300)
REVERSING: Final = Uncertainty(idempotency="reference", lookup="authoritative")

SPEC: Final = ProviderSpec(
    name="mpesa",
    title="M-Pesa",
    countries=frozenset(market.country for market in MARKETS),
    currencies=frozenset(market.currency for market in MARKETS),
    methods=frozenset({"mobile_money"}),
    # None is published; each application sets its own in the portal.
    limits={**{market.currency: Limit(min=1, max=10**15) for market in MARKETS}, "TZS": Limit(min=100, max=10**15)},
    settings=spec.MpesaAccount,
    identity=frozenset({"base_url", "environment", "market", "service_provider_code"}),
    base_url=spec.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=PAYING),
        Verb.REFUND: VerbSpec(flow=operations.refund, uncertainty=REVERSING, several=False),
        Verb.PAYOUT: VerbSpec(flow=operations.payout, uncertainty=PAYING),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    # M-Pesa's own ids, which a query may name too, have 10 to 20 characters.
    reference=ReferenceFormat(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", length=24),
    deadline_s=120,  # a synchronous charge is answered when the payer has answered
    callback=CallbackSpec(parse=callbacks.parse, ack=callbacks.acknowledge),
    check=operations.check,
    statuses={word: Declined if isinstance(meant, DeclineCode) else meant for word, meant in _WORDS.items()},
    declines={word: meant for word, meant in _WORDS.items() if isinstance(meant, DeclineCode)},
    whole_units=spec.WHOLE_UNITS,
    market=lambda settings: spec.MARKETS[settings.market],
    trigger_phones=spec.TRIGGERS,
    slots=256,  # charges that wait for their payers
    login_expired=wire.login_refused,
)
