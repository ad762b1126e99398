"""The form of a provider's cases: plain data, in `providers/<name>/cases.py` as `CASES`.

A provider writes down what its documents show: an answer and what it means, a callback and what it means, how it signs,
and what its simulator does. The suite makes everything else out of these: the same answer with a word nobody knows, cut
short, in another shape; the same callback with a byte flipped, from another account, too old. A case is made of values:
operations come from `operation` and `about`, so that an answer can repeat `CHARGE.reference`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from providers import references
from providers.contract import (
    CallbackRequest,
    HttpResponse,
    Method,
    MobileMoney,
    Notice,
    Operation,
    Outcome,
    ReferenceFormat,
    Secret,
    Verb,
)

CALLBACK_URL: Final = "https://pay.example/callbacks/provider/token"  # where the callbacks of the cases came to
SENT_AT: Final = datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC)  # in UTC+2 not yet the next day, in UTC+3 it is

_ROOT: Final = 0x0190_0000_0000_7000_8000_0000_0000_0000


class Case(Struct, frozen=True, kw_only=True):
    """An operation, the answer to each of its requests in turn, and the outcome: exactly this one.

    `row` is the word (or HTTP status) of the spec's tables that the last answer carries and the outcome follows from:
    every row of every table needs one. `account` where the settings differ from `Cases.account`.
    """

    says: str
    operation: Operation
    answers: tuple[HttpResponse, ...]
    expect: Outcome
    row: str | None = None
    account: Struct | None = None


class CallbackCase(Struct, frozen=True, kw_only=True):
    """A callback's body about an operation, and its notices. `poll` is what a query would be answered at that moment.

    `row` as in `Case`. `headers` are those that the spec names beside the signature's, which the suite adds.
    """

    says: str
    about: Operation
    body: bytes
    expect: tuple[Notice, ...]
    poll: tuple[HttpResponse, ...] = ()
    row: str | None = None
    account: Struct | None = None
    method: str = "POST"
    query: str = ""
    headers: Mapping[str, str] = {}


class Signing(Struct, frozen=True, kw_only=True):
    """One way in which the provider signs, written without the adapter's code.

    `sign` makes the headers of what the provider would send with this body, for the holder of these settings, at this
    time. `stranger` holds the settings of another account: what is signed for it is not ours. `dated`: the signature
    covers a time, and an old one is refused.
    """

    says: str
    sign: Callable[[bytes, Any, datetime], Mapping[str, str]]
    account: Struct
    stranger: Struct
    dated: bool = True


class Step(Struct, frozen=True, kw_only=True):
    """An operation at the simulator: the kind of its first outcome, of what it becomes, and how often money moves.

    `moved` counts the ledger's entries of the verb's kind for the operation's reference. The suite fills in what only
    the provider knows: a target that is an earlier step's operation gets the `provider_reference` it was given.
    """

    operation: Operation
    first: type[Outcome] | tuple[type[Outcome], ...]
    last: type[Outcome]
    moved: int
    deadline_s: float = 5.0  # short where the simulator never answers
    presses: str | None = None  # a button of the page that a redirect leads to: "?pay=yes" after its address


class Scenario(Struct, frozen=True, kw_only=True):
    """Steps, one after the other, at a simulator of their own.

    `callbacks`: at least so many arrive, and the authentic ones say what a query says.
    """

    says: str
    steps: tuple[Step, ...]
    account: Struct | None = None
    callbacks: int = 0


class Cases(Struct, frozen=True, kw_only=True):
    """Everything that a provider tells the suite.

    `account`: settings with which every case works and which the simulator takes; its secrets are looked for in
    everything that can be seen. `login` are the answers that `authenticate` needs, `refused_logins` those that mean
    that the credentials are wrong. `secrets`: what `/_simulator/secrets` is told before a scenario, by API key.
    `unreadable`: callbacks that are none, beside the suite's own. `longer`: why the adapter has more than 300 lines of
    code, where it has; the report repeats it.
    """

    account: Struct
    answers: tuple[Case, ...]
    callbacks: tuple[CallbackCase, ...] = ()
    signings: tuple[Signing, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    login: tuple[HttpResponse, ...] = ()
    refused_logins: tuple[tuple[HttpResponse, ...], ...] = ()
    secrets: Mapping[str, str] = {}
    unreadable: tuple[bytes, ...] = ()
    longer: str = ""


def operation(
    form: ReferenceFormat,
    verb: Verb = Verb.CHARGE,
    *,
    number: int = 1,
    method: Method | None = None,
    phone: str = "+26658123000",
    **fields: Any,
) -> Operation:
    """An operation whose id and reference follow from `number`; 150.00 LSL from a wallet unless `fields` say else."""
    identifier = UUID(int=_ROOT + number * 256 + number % 256)
    defaults: dict[str, Any] = {
        "id": f"op_{number:026d}",
        "verb": verb,
        "payment": f"pay_{number:026d}",
        "amount": 15000,
        "currency": "LSL",
        "reference": references.make(form, identifier),
        "sent_at": SENT_AT,
        "callback_url": "http://127.0.0.1:9/callbacks/none",
        "return_url": "http://127.0.0.1:9/return",
        "method": method or MobileMoney(phone=phone),
        "country": "LS",
    }
    return Operation(**{**defaults, **fields})


def about(
    target: Operation, form: ReferenceFormat, verb: Verb = Verb.QUERY, *, number: int = 2, **fields: Any
) -> Operation:
    """A query, confirm, refund … of another operation, with whose amount and payer it agrees."""
    same = {name: getattr(target, name) for name in ("payment", "amount", "currency", "method", "country", "sent_at")}
    otp = {"otp": Secret("123456")} if verb is Verb.CONFIRM else {}
    return operation(form, verb, number=number, target=target, **{**same, **otp, **fields})


def answer(body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """An answer: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return HttpResponse(status=status, headers=headers or {}, content=content)


def stored(case: CallbackCase, headers: Mapping[str, str], at: datetime) -> CallbackRequest:
    """The callback of a case as the gateway stores it, received at a time."""
    return CallbackRequest(
        method=case.method,
        query=case.query,
        headers={**case.headers, **headers},
        body=case.body,
        received_at=at,
        url=CALLBACK_URL,
    )
