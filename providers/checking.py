"""Whether an account's credentials work: the flow that asks, and what its outcome says."""

from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from providers.contract import Absent, Declined, Flow, LoginRefused, Outcome, ProviderSpec, Succeeded
from providers.declines import DECLINES, DeclineCode

Result: TypeAlias = Literal["works", "refused", "unknown"]


class Finding(NamedTuple):
    """What a check found; `code` is the provider's own word, `detail` one sentence or word for people."""

    result: Result
    code: str | None
    detail: str | None


def check_flow(spec: ProviderSpec, settings: Struct, callback_url: str) -> Flow:
    """The provider's own check; without one, logging in. Neither moves money."""
    return spec.check(settings, callback_url) if spec.check is not None else _log_in(spec, settings)


def finding(outcome: Outcome, *, sent: bool) -> Finding:
    """What an outcome of `check_flow` says; `sent`: whether the provider was asked anything at all."""
    match outcome:
        case Succeeded() | Absent() if sent:
            return Finding("works", None, None)
        case Succeeded() | Absent():
            return Finding("unknown", None, "This provider has no call that would show it: the first payment will.")
        case Declined(code=code, provider_code=word, provider_message=message):
            return Finding("refused", word, message or DECLINES[code].message)
        case _:
            return Finding("unknown", None, getattr(outcome, "detail", None) or type(outcome).__name__)


def _log_in(spec: ProviderSpec, settings: Struct) -> Flow:
    try:
        yield from spec.authenticate(settings)
    except LoginRefused as refused:
        return Declined(code=DeclineCode.CONFIGURATION, provider_code=str(refused))
    return Succeeded()
