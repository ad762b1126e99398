"""M-Pesa OpenAPI (Vodacom): wallets in Lesotho, Tanzania, Mozambique, DR Congo and Ghana."""

from typing import Final

from providers.contract import READING, CallbackSpec, Declined, ProviderSpec, Verb, VerbSpec
from providers.declines import DeclineCode
from providers.mpesa import callbacks, operations, spec, wire

_WORDS: Final = {**spec.CODES, **spec.STATES}

SPEC: Final = ProviderSpec(
    name="mpesa",
    title="M-Pesa",
    countries=spec.COUNTRIES,
    currencies=spec.CURRENCIES,
    methods=frozenset({"mobile_money"}),
    limits=spec.LIMITS,
    settings=spec.MpesaAccount,
    identity=spec.IDENTITY,
    base_url=spec.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=spec.PAYING),
        Verb.REFUND: VerbSpec(flow=operations.refund, uncertainty=spec.REVERSING, several=False),
        Verb.PAYOUT: VerbSpec(flow=operations.payout, uncertainty=spec.PAYING),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    deadline_s=120,  # a synchronous charge is answered when the payer has answered
    callback=CallbackSpec(parse=callbacks.parse, ack=callbacks.acknowledge),
    check=operations.check,
    statuses={word: Declined if isinstance(meant, DeclineCode) else meant for word, meant in _WORDS.items()},
    declines={word: meant for word, meant in _WORDS.items() if isinstance(meant, DeclineCode)},
    whole_units=spec.WHOLE_UNITS,
    trigger_phones=spec.TRIGGERS,
    slots=256,  # charges that wait for their payers
    login_expired=wire.login_refused,
)
