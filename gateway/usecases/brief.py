"""What a provider's flow is given: our operation, as the contract describes one."""

from uuid import UUID

from gateway import ids, return_pages
from gateway.payments import views
from gateway.payments.model import Operation, Root
from gateway.sealing import Sealer, place
from gateway.settings import Settings
from gateway.store.directory import AccountRow
from gateway.store.vault import AnyAccount
from providers import contract
from providers.contract import Secret, Verb


def brief(
    root: Root, operation: Operation, account: AccountRow, settings: Settings, sealer: Sealer
) -> contract.Operation:
    """The claimed operation with its target and everything that belongs to it."""
    target = root.operations.get(operation.target_id) if operation.target_id else None
    details, refund = root.payment.details, root.refunds.get(operation.id)
    return contract.Operation(
        id=ids.show(ids.OPERATION, operation.id),
        verb=operation.verb,
        payment=views.public_id(root.payment),
        amount=operation.amount,
        currency=operation.currency,
        reference=operation.reference,
        sent_at=operation.sent_at or operation.created_at,
        callback_url=callback_url(settings.public_url, account, operation.id),
        return_url=f"{settings.public_url}/return/{return_pages.token(settings, operation.payment_id)}",
        method=details.method,
        country=root.payment.country,
        description=details.description if refund is None else refund.reason,
        payee=details.payee,
        provider_reference=operation.provider_reference,
        target=None if target is None else brief(root, target, account, settings, sealer),
        otp=None if operation.secret_input is None else _open(operation, sealer),
        claim=_claim(operation),
    )


def _claim(query: Operation) -> contract.Outcome | None:
    """What the unsigned callback said that made us ask: until there is an answer, the query's only evidence."""
    return query.evidence.outcome if query.verb is Verb.QUERY and query.evidence is not None else None


def callback_url(public_url: str, account: AnyAccount, operation_id: UUID | None = None) -> str:
    """Where the provider reports, about one operation or about any."""
    address = f"{public_url}/callbacks/{account.provider}/{account.callback_token}"
    return address if operation_id is None else f"{address}/{ids.show(ids.OPERATION, operation_id)}"


def seal_otp(sealer: Sealer, operation: Operation, otp: str) -> bytes:
    """A one-time password as it is kept until the operation is over."""
    return sealer.seal(otp.encode(), place=_place(operation))


def _open(operation: Operation, sealer: Sealer) -> Secret:
    assert operation.secret_input is not None
    return Secret(sealer.open(operation.secret_input, place=_place(operation)).decode())


def _place(operation: Operation) -> str:
    return place("operations", "secret_input", operation.id, 1, operation.merchant_id)
