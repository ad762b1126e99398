"""The sandbox adapter against the sandbox simulator, over real HTTP: its callbacks."""

import asyncio

import pytest

from providers.contract import (
    CallbackRequest,
    CallbackUnreadable,
    Declined,
    Pending,
    Secret,
    SignatureInvalid,
    Succeeded,
)
from providers.registry import PROVIDERS
from providers.sandbox.simulator import webhook_secret_for
from tests.providers.sandbox_kit import received, succeeded

pytestmark = pytest.mark.anyio
SPEC = PROVIDERS["sandbox"]


# --- Callbacks ----------------------------------------------------------------------------------------------------


async def test_callbacks_say_what_a_query_says(sandbox, receiver, settings, now):
    box = await sandbox()
    op = box.operation("001", callback_url=receiver.url)
    await box.charge(op)
    [request] = await receiver.wait(1)
    callback = received(request, at=now())
    SPEC.callback.verify(callback, settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_one"))))
    [notice] = SPEC.callback.parse(callback)
    assert notice.reference == op.reference
    assert notice.outcome == await box.query(op) == succeeded(op)
    assert SPEC.callback.parse(callback) == [notice]
    for other in (
        settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_two"))),
        settings("sandbox", webhook_secret=Secret("")),
    ):
        with pytest.raises(SignatureInvalid):
            SPEC.callback.verify(callback, other)


async def test_duplicates_come_out_of_order(sandbox, receiver, now):
    box = await sandbox()
    op = box.operation("012", callback_url=receiver.url)
    await box.charge(op)
    requests = await receiver.wait(5)
    notices = [SPEC.callback.parse(received(request, at=now()))[0] for request in requests]
    assert [type(notice.outcome) for notice in notices] == [Succeeded, Pending, Succeeded, Pending, Succeeded]
    assert len({notice.event_id for notice in notices}) == 2


async def test_late_success(sandbox, receiver, now):
    box = await sandbox()
    op = box.operation("014", callback_url=receiver.url)
    await box.charge(op)
    first, second = [SPEC.callback.parse(received(one, at=now()))[0].outcome for one in await receiver.wait(2)]
    assert isinstance(first, Declined)
    assert second == succeeded(op)


async def test_a_forged_callback(sandbox, receiver, settings, now):
    box = await sandbox(pace=0.2)
    op = box.operation("016", callback_url=receiver.url)
    await box.charge(op)
    [request] = await receiver.wait(1)
    assert isinstance(await box.query(op), Pending)
    with pytest.raises(SignatureInvalid):
        SPEC.callback.verify(
            received(request, at=now()), settings("sandbox", webhook_secret=Secret(webhook_secret_for("sk_one")))
        )
    await box.becomes(op, Succeeded)
    assert len(receiver.requests) == 1


async def test_no_callback(sandbox, receiver):
    box = await sandbox(pace=0.01)
    op = box.operation("013", callback_url=receiver.url)
    await box.charge(op)
    await box.becomes(op, Succeeded)
    await asyncio.sleep(0.1)
    assert receiver.requests == []


async def test_callbacks_are_tried_again(sandbox, receiver):
    box = await sandbox(pace=0.01)
    receiver.status = 503
    op = box.operation("001", callback_url=receiver.url)
    await box.charge(op)
    await receiver.wait(2)
    receiver.status = 200
    await receiver.wait(3)
    await asyncio.sleep(0.1)
    assert len({request.content for request in receiver.requests}) == 1
    assert len(receiver.requests) in (3, 4)  # four when the third try came before the status was changed


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"id": "evt", "transaction": null}', b"\xff", b"[" * 100_000]
)
def test_unreadable_callbacks(body, now):
    callback = CallbackRequest(method="POST", query="", headers={}, body=body, received_at=now())
    with pytest.raises(CallbackUnreadable):
        SPEC.callback.parse(callback)
