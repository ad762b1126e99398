"""The provider contract: what an adapter declares, receives and returns.

An adapter is a folder of tables and pure generators. A *flow* yields an `HttpRequest`, receives the `HttpResponse`
and returns an `Outcome`; it does no I/O, reads no clock and makes no id, so the same operation twice gives the same
bytes. The engine, not the author, decides what is safe after an unknown answer: from `Uncertainty` alone.

Outcomes::

    a provider said it                          the transport knows it
    ├─ Succeeded     money was taken / given    ├─ NotSent   nothing left this machine
    ├─ Authorized    money is reserved          └─ Unknown   something may have happened
    ├─ Pending       accepted, not final
    ├─ ActionRequired  the payer must act
    ├─ Declined      final, no money moved
    ├─ Reversed      it had succeeded, and was taken back at the provider
    ├─ Throttled     refused before processing, documented as such
    ├─ Absent        a query found nothing
    ├─ Deferred      a query's answer comes later, by callback
    └─ Ambiguous     an answer we cannot read: treated as Unknown
"""

from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from providers.declines import DeclineCode


class Verb(StrEnum):
    """What an operation asks a provider to do."""

    CHARGE = "charge"
    AUTHORIZE = "authorize"
    CONFIRM = "confirm"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"
    QUERY = "query"


class Secret(str):
    """A credential: its `repr` shows three stars, so that it never reaches a log or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


# --- What the payer uses ------------------------------------------------------------------------------------------


class MobileMoney(Struct, frozen=True, tag_field="type", tag="mobile_money"):
    """A mobile-money wallet; `phone` is E.164 ("+26658123456"), or a provider's documented trigger number in test."""

    phone: str


class Card(Struct, frozen=True, tag_field="type", tag="card"):
    """A card, known only by a provider's token. Card numbers never get this far."""

    token: str


class Redirect(Struct, frozen=True, tag_field="type", tag="redirect"):
    """A page of the provider's, where the payer chooses how to pay."""


Method: TypeAlias = MobileMoney | Card | Redirect


# --- One operation --------------------------------------------------------------------------------------------------


class Operation(Struct, frozen=True, kw_only=True):
    """One attempt of one verb at one account, as a flow sees it.

    `id` ("op_…") is stable over re-sends: it is the idempotency key where the provider takes one. `reference` is our
    name for it at the provider, in the provider's own alphabet and length (`ProviderSpec.reference`).
    `target` is the operation that confirm, capture, void, refund and query refer to. A payout's `method` is where the
    money goes and `payee` who gets it, as far as the merchant tells; a refund's `description` is its reason. A query
    that an unsigned callback provoked knows what that called the target (`provider_reference`) and said (`claim`):
    something to ask about, and proof of nothing.
    """

    id: str
    verb: Verb
    payment: str  # pay_… or pout_…: the root
    amount: int  # minor units of currency
    currency: str
    reference: str
    sent_at: datetime  # first send, UTC: queries that need the date of the request keep it
    callback_url: str  # already carries the account's token and this operation's id
    return_url: str  # our page to which a redirected payer comes back
    method: Method
    country: str | None = None
    description: str | None = None
    payee: str | None = None
    provider_reference: str | None = None
    target: "Operation | None" = None
    otp: Secret | None = None
    claim: "Outcome | None" = None


def asked(operation: Operation) -> Operation:
    """The operation that the provider knows by its reference: a query's or confirm's target, through to the charge."""
    while operation.verb in (Verb.QUERY, Verb.CONFIRM) and operation.target is not None:
        operation = operation.target
    return operation


class Redirected(Struct, frozen=True, tag_field="type", tag="redirect"):
    """Send the payer's browser to `url`."""

    url: str


class Prompt(Struct, frozen=True, tag_field="type", tag="prompt"):
    """The payer approves on the handset."""

    message: str


class Otp(Struct, frozen=True, tag_field="type", tag="otp"):
    """The payer received a code; the merchant sends it with `confirm`."""

    message: str


class Instructions(Struct, frozen=True, tag_field="type", tag="instructions"):
    """The payer must do what `message` says, elsewhere."""

    message: str


NextAction: TypeAlias = Redirected | Prompt | Otp | Instructions


# --- Outcomes -------------------------------------------------------------------------------------------------------


class Succeeded(Struct, frozen=True, kw_only=True, tag="succeeded"):
    """The money moved. `amount` (minor units) and `currency` only where the provider states them: they are compared."""

    provider_reference: str | None = None
    amount: int | None = None
    currency: str | None = None


class Authorized(Struct, frozen=True, kw_only=True, tag="authorized"):
    """The money is reserved, and waits for capture or void."""

    provider_reference: str | None = None
    amount: int | None = None
    currency: str | None = None


class Pending(Struct, frozen=True, kw_only=True, tag="pending"):
    """Accepted and not final. Also what every word that is in no table means: then `provider_code` holds the word.

    `awaits_payer`: what the payer was asked to do still stands, though the answer does not repeat it.
    """

    provider_reference: str | None = None
    provider_code: str | None = None
    awaits_payer: bool = False


class ActionRequired(Struct, frozen=True, kw_only=True, tag="action_required"):
    """The payer must act before it can go on."""

    action: NextAction
    provider_reference: str | None = None


class Declined(Struct, frozen=True, kw_only=True, tag="declined"):
    """Final: no money moved and none will. `provider_code` and `provider_message` are the provider's own words."""

    code: DeclineCode
    provider_code: str | None = None
    provider_message: str | None = None
    provider_reference: str | None = None


class Reversed(Struct, frozen=True, kw_only=True, tag="reversed"):
    """The money had moved and was given back at the provider, without our asking."""

    provider_reference: str | None = None


class Throttled(Struct, frozen=True, kw_only=True, tag="throttled"):
    """Refused before processing, as the provider documents (the spec links it): safe to send again later."""

    retry_after_s: float | None = None
    provider_code: str | None = None


class Absent(Struct, frozen=True, kw_only=True, tag="absent"):
    """A query's answer: the provider knows nothing of the target. What it proves depends on `Uncertainty`."""


class Deferred(Struct, frozen=True, kw_only=True, tag="deferred"):
    """A query was taken; its answer will come to its own callback URL, as a `Notice.answer` of this name."""

    provider_reference: str


class Ambiguous(Struct, frozen=True, kw_only=True, tag="ambiguous"):
    """An answer from which nothing can be concluded (an HTML page, an HTTP 500): the engine treats it as Unknown."""

    detail: str


class NotSent(Struct, frozen=True, kw_only=True, tag="not_sent"):
    """From the transport only: no byte of the request left this machine."""

    detail: str


class Unknown(Struct, frozen=True, kw_only=True, tag="unknown"):
    """From the transport only: the request may have been received and carried out."""

    detail: str


Outcome: TypeAlias = (
    Succeeded
    | Authorized
    | Pending
    | ActionRequired
    | Declined
    | Reversed
    | Throttled
    | Absent
    | Deferred
    | Ambiguous
    | NotSent
    | Unknown
)


# --- HTTP, as values ------------------------------------------------------------------------------------------------


class HttpRequest(Struct, frozen=True, kw_only=True):
    """A request relative to the account's base URL. `content` is the exact bytes that are sent.

    `authenticated=False` for the login calls of `ProviderSpec.authenticate`: the transport adds no credentials.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    content: bytes = b""
    authenticated: bool = True


class HttpResponse(Struct, frozen=True, kw_only=True):
    """What came back, whole: header names in lower case, at most `transport.BODY_LIMIT` bytes of content."""

    status: int
    headers: Mapping[str, str] = {}
    content: bytes = b""


class Credentials(Struct, frozen=True, kw_only=True):
    """Headers that authenticate requests, for `ttl_s` seconds (None: as long as the settings do not change).

    `settles_s`: so long after the login the provider may still refuse what it will soon take; it is kept then.
    """

    headers: Mapping[str, str]
    ttl_s: float | None = None
    settles_s: float = 0


class LoginRefused(Exception):
    """The provider refuses the account's credentials: raised by `authenticate`, with the provider's code for it."""


class ConfigurationMissing(Exception):
    """Nothing can be sent with these settings: they lack a base URL, or their CA bundle holds no certificate."""


Flow: TypeAlias = Generator[HttpRequest, HttpResponse, Outcome]
Login: TypeAlias = Generator[HttpRequest, HttpResponse, Credentials]


# --- Callbacks ------------------------------------------------------------------------------------------------------


class CallbackRequest(Struct, frozen=True, kw_only=True):
    """A callback as it was stored: raw body, and only the headers that the spec names (lower case).

    `url` is where it came to, as the provider knows the address (PUBLIC_URL, not our host behind a proxy), without
    query; some signatures cover it.
    """

    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    url: str = ""


class Notice(Struct, frozen=True, kw_only=True):
    """One fact a callback states about one operation, found by `reference` (ours) or `provider_reference`.

    `event_id` is the provider's own id of the notice, where it has one: duplicates are counted by it.
    `answer`: it is the late answer to a request of ours, and quotes as `provider_reference` a name that nobody can
    guess and that the provider told nobody but us, in its acknowledgement of that very request. Where it is that name,
    an unsigned notice is proof too.
    """

    outcome: Outcome
    reference: str | None = None
    provider_reference: str | None = None
    event_id: str | None = None
    answer: bool = False


class SignatureInvalid(Exception):
    """The callback is not from the provider, or not for this account, or too old. The only error `verify` raises."""


class CallbackUnreadable(Exception):
    """A callback from which no notice can be read. The only error `parse` raises."""


def empty_object(request: CallbackRequest) -> HttpResponse:
    """The acknowledgement where a provider expects nothing in particular: 200 and an empty JSON object."""
    return HttpResponse(status=200, headers={"content-type": "application/json"}, content=b"{}")


class CallbackSpec(Struct, frozen=True, kw_only=True):
    """How a provider calls back.

    `verify` is None where the provider signs nothing: such a callback proves nothing and only makes us ask.
    `ack` makes the answer that the provider expects for having delivered, whatever the content was. It raises nothing.
    `for_account`, where an account's settings decide about its callbacks (whether they are signed, in which header, in
    which words), tells from the settings how they really are; `of` asks it.
    """

    parse: Callable[[CallbackRequest], list[Notice]]
    verify: Callable[[CallbackRequest, Any], None] | None = None
    headers: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("POST",)
    ack: Callable[[CallbackRequest], HttpResponse] = empty_object
    for_account: "Callable[[Any], CallbackSpec] | None" = None

    def of(self, settings: Any) -> "CallbackSpec":
        """How the callbacks of the account with these settings are."""
        return self if self.for_account is None else self.for_account(settings)


# --- The spec -------------------------------------------------------------------------------------------------------


class Uncertainty(Struct, frozen=True, kw_only=True):
    """What a provider promises about one verb, from which alone the engine decides what an Unknown permits.

    `idempotency`: does sending the same operation again have no second effect? By our key, by our reference, or none;
    `window_s` says for how long (None: for ever). `lookup`: does a query tell the truth about what it finds?
    `absence_after_s`: seconds after which "not found" proves that nothing happened; None: it never does.
    """

    idempotency: Literal["key", "reference", "none"]
    lookup: Literal["authoritative", "unsupported"]
    window_s: int | None = None
    absence_after_s: float | None = None


READING = Uncertainty(idempotency="reference", lookup="authoritative")  # of a query: asking again changes nothing


class VerbSpec(Struct, frozen=True, kw_only=True):
    """A verb the provider has: the flow that performs it, and what it promises. Being present is the capability.

    Of capture and refund: `partial`, less than the whole amount may be asked for; `several`, more than once.
    """

    flow: Callable[[Operation, Any], Flow]
    uncertainty: Uncertainty
    partial: bool = True
    several: bool = True


class Market(Protocol):
    """Where an account takes payments, if not everywhere that its provider does: a country (ISO 3166), a currency."""

    @property
    def country(self) -> str: ...
    @property
    def currency(self) -> str: ...


class ReferenceFormat(Struct, frozen=True, kw_only=True):
    """The alphabet and exact length of the references that we make for a provider.

    `layout`, of the same length, where some characters are given: an "x" is one of ours, all else stands as it is.
    """

    alphabet: str
    length: int
    layout: str | None = None


class Limit(Struct, frozen=True, kw_only=True):
    """Smallest and largest amount in minor units, both allowed."""

    min: int
    max: int


class QuerySchedule(Struct, frozen=True, kw_only=True):
    """When an unsettled operation is asked about: `delays_s` after sending or after the last answer, then `every_s`.

    `end_s` after sending nobody asks any more: what is still open goes to review. `min_interval_s` bounds everything,
    queries that callbacks provoke included.
    """

    delays_s: tuple[float, ...] = (10, 20, 40, 60, 120)
    every_s: float = 300
    end_s: float = 3 * 24 * 3600
    min_interval_s: float = 1


class ProviderSpec(Struct, frozen=True, kw_only=True):
    """A provider, declared. `name` is its folder's name, everywhere.

    `settings` is the Struct of an account's credentials: it becomes the API's schema; `identity` names those of its
    members that say whose money it is and never change (merchant code, market, address); `base_url` tells where to
    send, given an account's settings and whether it is live (or raises `ConfigurationMissing`). `whole_units`:
    currencies of which the provider takes whole units only (other amounts are refused, never rounded). `market`, from
    an account's settings (those of `identity`): where it takes payments, if not everywhere. `receipts`:
    where a request has one name and the money that it moves another, a regular expression of the latter: a receipt
    replaces the request's name, and only two receipts are two movements of money. `statuses` and `declines` are
    the provider's words and what they mean to us; flows and callbacks read the same tables, so a poll and a callback
    cannot disagree. `check` is a flow that moves no money, from an account's settings and its callback
    URL: Succeeded and Absent mean that the credentials work, Declined that they are refused, anything else that nothing
    is known; None: logging in is the check.
    """

    name: str
    title: str
    countries: frozenset[str]
    currencies: frozenset[str]
    methods: frozenset[str]
    limits: Mapping[str, Limit]
    settings: type[Struct]
    identity: frozenset[str]
    base_url: Callable[[Any, bool], str]
    authenticate: Callable[[Any], Login]
    verbs: Mapping[Verb, VerbSpec]
    reference: ReferenceFormat
    deadline_s: float
    callback: CallbackSpec | None = None
    check: Callable[[Any, str], Flow] | None = None
    queries: QuerySchedule = QuerySchedule()
    statuses: Mapping[str, type[Outcome]] = {}
    declines: Mapping[str, DeclineCode] = {}
    whole_units: frozenset[str] = frozenset()
    market: Callable[[Any], Market] | None = None
    receipts: str | None = None
    trigger_phones: str | None = None  # a regular expression: test accounts take these numbers as they are
    slots: int = 64  # calls in flight per account and process
    ca_bundle: Callable[[Any], str | None] = lambda settings: None  # PEM text of a private CA, from the settings
    login_expired: Callable[[HttpResponse], bool] = lambda response: response.status == 401  # log in anew for the next
