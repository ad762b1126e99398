"""The audit trail's chain: whoever changes it with SQL, as superuser, is found out, and where."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from gateway.audit_chain import Chain
from gateway.store import audit, audit_chain
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, prepare
from gateway.usecases import audit_trail
from gateway.usecases.audit_trail import Verdict
from tests.api.tenants import Tenant, on_database, pointers
from tests.support.installation import Installation


def seal(mypay: Installation) -> int:
    """What the sweeper does each round; no worker runs here."""
    return on_database(mypay, lambda connection: audit_trail.seal(mypay.settings, connection, datetime.now(UTC)))


def execute(tenant: Tenant, sql: str, *parameters: Any) -> None:
    """A statement about this merchant ($1) by a superuser."""

    async def run(connection: Connection) -> None:
        await connection.execute("set client_min_messages = warning")
        assert await connection.execute(sql, tenant.merchant_id, *parameters)

    on_database(tenant.mypay, run)


def verify(tenant: Tenant, query: str = "", *, livemode: bool = False) -> dict[str, Any]:
    """The answer of the check."""
    answer = (tenant.live if livemode else tenant.test).get(f"/v1/audit_events/verify{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def trail(tenant: Tenant) -> list[dict[str, Any]]:
    """The events in the order of the chain."""
    found = tenant.test.get("/v1/audit_events?limit=100").json()["data"]
    return sorted(found, key=lambda each: each["position"] or 0)


@pytest.fixture(scope="module")
def untouched(mypay: Installation) -> Tenant:
    """A merchant with a chain of six rows, for tests that only look at it, or roll back what they do."""
    return with_chain(Tenant(mypay))


@pytest.fixture
def chained(tenant: Tenant) -> Tenant:
    """A merchant with such a chain, for one test."""
    return with_chain(tenant)


def with_chain(tenant: Tenant) -> Tenant:
    """Six rows, sealed and anchored in two batches of three."""
    for _ in range(2):
        account = tenant.account()
        tenant.test.patch(f"/v1/accounts/{account}", json={"label": "front £ \u2028 till"})
        tenant.test.delete(f"/v1/accounts/{account}")
        seal(tenant.mypay)
    return tenant


def test_a_trail_that_nobody_touched_holds(untouched: Tenant) -> None:
    found = verify(untouched)
    anchored, newest = found.pop("anchored_until"), trail(untouched)[-1]
    assert anchored.pop("at") >= newest["created_at"]
    assert anchored == {"position": 6, "hash": newest["hash"]}
    assert found == {
        "object": "audit_verification",
        "livemode": False,
        "valid": True,
        "first_bad": None,
        "checked": 6,
        "dropped_until": None,
    }
    assert verify(untouched, livemode=True) | {"livemode": False} == found | {"checked": 0, "anchored_until": None}


def test_what_is_not_sealed_yet_is_shown_and_waits(mypay: Installation, chained: Tenant) -> None:
    account = chained.account()
    newest = chained.test.get(f"/v1/audit_events?object_id={account}").json()["data"][0]
    assert (newest["position"], newest["prev_hash"], newest["hash"]) == (None, None, None)
    assert verify(chained)["checked"] == 6
    seal(mypay)
    assert verify(chained)["checked"] == 7
    assert seal(mypay) == 0


def test_a_merchant_can_recompute_the_chain_alone(untouched: Tenant) -> None:
    """From the list, with nothing of ours but the rule."""
    prev = "0" * 64
    for position, event in enumerate(trail(untouched), 1):
        shown = event.pop("hash")
        text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (event["position"], event["prev_hash"]) == (position, prev)
        assert hashlib.sha256(text.encode()).hexdigest() == shown
        prev = shown


AT = "from audit_events where merchant_id = $1 and not livemode and position = {}"
WHERE = "where merchant_id = $1 and not livemode and position = {}"
# The id begins with "ff" or "00": of two rows in one place the one with the smaller id is read first.
NEW_ROW = """
insert into audit_events (id, merchant_id, livemode, actor, action, object_id, outcome, changes, created_at, position,
                          prev_hash, hash)
select overlay(gen_random_uuid()::text placing '{begins}' from 1)::uuid, merchant_id, livemode, actor,
       'account.forged', object_id, outcome, changes, created_at, {}, prev_hash, hash """
COLUMNS = ("actor", "action", "object_id", "outcome", "ip", "request_id")
SWAP = f"""
update audit_events e set position = 9 - position {WHERE.format("any('{4,5}')")}
"""
CLOSED_UP = f"""
with gone as (delete {AT.format(2)})
update audit_events set position = position - 1 {WHERE.format("any('{3,4,5,6}')")}
"""
TAMPERED: dict[str, tuple[str, int, str]] = {
    **{f"edit {name}": (f"update audit_events set {name} = 'x' {WHERE.format(3)}", 3, "edited") for name in COLUMNS},
    "edit changes": (f"update audit_events set changes = '{{}}' {WHERE.format(1)}", 1, "edited"),
    "edit time": (f"update audit_events set created_at = created_at - interval '1 ms' {WHERE.format(3)}", 3, "edited"),
    "edit hash": (f"update audit_events set hash = prev_hash {WHERE.format(2)}", 2, "edited"),
    "edit link": (f"update audit_events set prev_hash = hash {WHERE.format(2)}", 2, "edited"),
    "give away": (f"update audit_events set merchant_id = gen_random_uuid() {WHERE.format(4)}", 4, "missing"),
    "change mode": (f"update audit_events set livemode = true {WHERE.format(4)}", 4, "missing"),
    "delete first": (f"delete {AT.format(1)}", 1, "missing"),
    "delete middle": (f"delete {AT.format(4)}", 4, "missing"),
    "delete last": (f"delete {AT.format(6)}", 6, "missing"),
    "delete and close up": (CLOSED_UP, 2, "edited"),
    "truncate": ("delete from audit_events where merchant_id = $1 and position > 4", 5, "missing"),
    "truncate all": ("delete from audit_events where merchant_id = $1", 1, "missing"),
    "unseal": (f"update audit_events set position = null {WHERE.format(6)}", 6, "missing"),
    "insert between": (NEW_ROW.format(3, begins="ff") + AT.format(3), 3, "inserted"),
    "insert before": (NEW_ROW.format(3, begins="00") + AT.format(3), 3, "edited"),
    "insert at the end": (NEW_ROW.format(7, begins="ff") + AT.format(6), 7, "unanchored"),
    "swap": (SWAP, 4, "edited"),
    "forget anchors": ("delete from audit_anchors where merchant_id = $1 and position > 3", 4, "unanchored"),
    "forget all anchors": ("delete from audit_anchors where merchant_id = $1", 1, "unanchored"),
    "move an anchor": ("update audit_anchors set position = 7 where merchant_id = $1 and position = 6", 7, "missing"),
    "forge an anchor": (
        "update audit_anchors set signature = '\\x00' where merchant_id = $1 and position = 3",
        3,
        "anchor_differs",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_whatever_is_changed_by_hand_is_found_where_it_is(untouched: Tenant, how: str) -> None:
    sql, position, reason = TAMPERED[how]

    async def tamper(connection: Connection) -> Verdict:
        async with rolled_back(connection):
            await connection.execute(sql, untouched.merchant_id)
            return await audit_trail.verify(lambda: nullcontext(connection), chain_of(untouched))

    bad = on_database(untouched.mypay, tamper).bad
    assert bad is not None
    assert (bad.position, bad.reason) == (position, reason)
    assert (bad.id is None) == (reason == "missing")


def test_what_is_found_is_answered(chained: Tenant) -> None:
    (third,) = [each["id"] for each in trail(chained) if each["position"] == 3]
    execute(chained, f"update audit_events set actor = 'x' {WHERE.format(3)}")
    found = verify(chained)
    assert (found["valid"], found["checked"]) == (False, 2)
    assert found["first_bad"] == {"position": 3, "audit_event": third, "reason": "edited"}


def chain_of(tenant: Tenant) -> Chain:
    """The chain of the merchant's test mode."""
    return audit_trail.chain_of(tenant.mypay.settings, tenant.merchant_id, False)


@asynccontextmanager
async def rolled_back(connection: Connection) -> AsyncIterator[None]:
    """A transaction that leaves nothing behind."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


def test_a_chain_written_anew_does_not_have_our_signature(chained: Tenant) -> None:
    """Everything is recomputed, hashes and anchors; what is missing is SECRET_KEY."""
    rewrite(chained)
    assert verify(chained)["first_bad"]["reason"] == "anchor_differs"


def test_a_chain_rolled_back_with_its_anchors_does_not_have_the_hash_that_was_noted(
    mypay: Installation, chained: Tenant
) -> None:
    """What a database alone cannot show: an older state of all of it. Hence the anchor in the log, or a noted hash."""
    noted = verify(chained)["anchored_until"]
    query = f"?position={noted['position']}&hash={noted['hash']}"
    assert verify(chained, query)["valid"]
    execute(chained, "delete from audit_events where merchant_id = $1 and position > 3")
    execute(chained, "delete from audit_anchors where merchant_id = $1 and position > 3")
    assert verify(chained)["valid"]
    found = verify(chained, query)
    assert (found["valid"], found["first_bad"]["position"], found["first_bad"]["reason"]) == (False, 4, "missing")
    for _ in range(3):  # the trail grows again, over the place that was noted
        chained.account()
    seal(mypay)
    assert verify(chained)["valid"]
    found = verify(chained, query)
    assert (found["first_bad"]["position"], found["first_bad"]["reason"]) == (6, "not_as_kept")


def rewrite(tenant: Tenant) -> None:
    """Change the first row, and make every hash fit."""

    async def work(connection: Connection) -> None:
        rows = await connection.fetch(
            f"select {audit.COLUMNS} from audit_events where merchant_id = $1 order by position", tenant.merchant_id
        )
        prev = bytes(32)
        for row in rows:
            forged = audit.StoredAudit(**{**dict(row), "actor": "key_nobody", "prev_hash": prev})
            prev_hash, prev = prev, audit_trail._digest(forged)
            await connection.execute(
                "update audit_events set actor = 'key_nobody', prev_hash = $2, hash = $3 where id = $1",
                row["id"],
                prev_hash,
                prev,
            )
            await connection.execute(
                "update audit_anchors set hash = $3 where merchant_id = $1 and position = $2",
                tenant.merchant_id,
                row["position"],
                prev,
            )

    on_database(tenant.mypay, work)


def test_each_merchant_and_mode_has_a_chain_of_its_own(mypay: Installation, chained: Tenant, other: Tenant) -> None:
    other.account()
    chained.account(livemode=True)
    seal(mypay)
    assert (verify(other)["checked"], verify(chained, livemode=True)["checked"]) == (1, 1)
    execute(other, "delete from audit_events where merchant_id = $1")
    assert not verify(other)["valid"]
    assert verify(chained)["valid"]
    assert verify(chained, livemode=True)["valid"]


def test_many_rows_are_sealed_in_batches_and_read_in_pages(mypay: Installation, tenant: Tenant) -> None:
    async def insert(connection: Connection) -> None:
        async with connection.transaction():
            for number in range(1200):
                row = AuditRow(merchant_id=tenant.merchant_id, actor="key_x", action="a", object_id=str(number))
                await audit.insert(connection, row, datetime.now(UTC).replace(microsecond=0), livemode=False)

    on_database(mypay, insert)
    while seal(mypay):
        pass
    assert (verify(tenant)["valid"], verify(tenant)["checked"]) == (True, 1200)
    execute(tenant, f"update audit_events set outcome = 'x' {WHERE.format(1001)}")
    assert verify(tenant)["first_bad"]["position"] == 1001


def test_two_sealers_make_one_chain(mypay: Installation, tenant: Tenant) -> None:
    for _ in range(5):
        tenant.account()

    async def both(connection: Connection) -> int:
        second = await asyncpg.connect(mypay.settings.database_uri)
        try:
            await prepare(second)
            async with second.transaction():
                assert await audit_chain.lock(second)
                return await audit_trail.seal(mypay.settings, connection, datetime.now(UTC))
        finally:
            await second.close()

    assert on_database(mypay, both) == 0
    assert verify(tenant)["checked"] == 0
    seal(mypay)
    assert (verify(tenant)["valid"], verify(tenant)["checked"]) == (True, 5)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("?position=1", "/hash"), ("?position=0&hash=a", "/position"), (f"?hash={'a' * 64}", "/position"), ("?x=1", "/x")],
)
def test_what_is_noted_is_a_position_and_its_hash(tenant: Tenant, query: str, pointer: str) -> None:
    assert pointers(tenant.test.get(f"/v1/audit_events/verify{query}")) == [pointer]


def test_a_key_needs_to_be_allowed(tenant: Tenant) -> None:
    for resource, status in (("audit_events", 200), ("events", 403)):
        made = tenant.test.post("/v1/api_keys", json={"name": "k", "resources": {resource: "read"}}).json()
        assert tenant.client(made["key"]).get("/v1/audit_events/verify").status_code == status
