"""C-Pay (Chaperone, Lesotho): LSL from wallets (by USSD push or OTP) and cards (on a page), and payouts to wallets."""

from typing import Final

from providers.contract import READING, CallbackSpec, Limit, ProviderSpec, Uncertainty, Verb, VerbSpec
from providers.cpay import callbacks, operations, spec

NEVER_TWICE: Final = Uncertainty(idempotency="none", lookup="authoritative")  # "not found" is documented nowhere

SPEC: Final = ProviderSpec(
    name="cpay",
    title="C-Pay",
    countries=frozenset({"LS"}),
    currencies=frozenset({"LSL"}),
    methods=frozenset({"mobile_money"}),
    limits={"LSL": Limit(min=1, max=10**15)},
    settings=spec.CPayAccount,
    identity=frozenset({"base_url", "client_code", "merchant_code"}),
    base_url=lambda settings, livemode: settings.base_url,
    authenticate=operations.authenticate,
    verbs={
        Verb.CHARGE: VerbSpec(flow=operations.charge, uncertainty=NEVER_TWICE),
        Verb.CONFIRM: VerbSpec(flow=operations.confirm, uncertainty=NEVER_TWICE),
        Verb.PAYOUT: VerbSpec(flow=operations.payout, uncertainty=NEVER_TWICE),
        Verb.QUERY: VerbSpec(flow=operations.query, uncertainty=READING),
    },
    reference=spec.REFERENCE,
    deadline_s=30,
    callback=CallbackSpec(parse=callbacks.parse),
    check=operations.check,
    statuses=spec.STATUSES,
    declines={**spec.DECLINES, **spec.REQUEST_ERRORS},
    ca_bundle=lambda settings: settings.ca_bundle,
)
