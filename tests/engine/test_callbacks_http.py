"""POST /callbacks/…: stored as it came, answered in the provider's words, and nothing for strangers."""

import asyncio
import os
from collections.abc import Iterator

import asyncpg
import httpx
import msgspec
import pytest

from gateway import ids
from streams import topics
from streams.codec import CallbackReceived, decode
from tests.streams.support import read_topic
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("callbacks over HTTP")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An API alone."""
    environment = {"SIMULATOR_URLS": "cpay=http://127.0.0.1:1,sandbox=http://127.0.0.1:1"}
    directory = tmp_path_factory.mktemp("api")
    with installation(parts, directory, workers=0, simulators=False, environment=environment) as running:
        yield running


@pytest.fixture
def client(mypay: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mypay.base_url, timeout=10) as client:
        yield client


def rows(mypay: Installation, sql: str, *parameters: object) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(mypay.environment["DATABASE_URI"])
        try:
            return list(await connection.fetch(sql, *parameters))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def address(mypay: Installation, provider: str) -> str:
    """The path of the demo account's callbacks."""
    account_id = ids.read(ids.ACCOUNT, mypay.accounts[provider])
    ((token,),) = rows(mypay, "select callback_token from accounts where id = $1", account_id)
    return f"/callbacks/{provider}/{token}"


def newest(mypay: Installation) -> asyncpg.Record:
    return rows(mypay, "select * from callbacks order by received_at desc, id desc limit 1")[0]


def count(mypay: Installation) -> int:
    return int(rows(mypay, "select count(*) from callbacks")[0][0])


@pytest.mark.parametrize("provider", ["sandbox", "cpay"])
def test_it_is_stored_as_it_came(mypay: Installation, client: httpx.Client, provider: str) -> None:
    """Bytes, query and the signed headers: whatever they are. Reading them is another's work, later."""
    body = b"\x00\xff\xfe{not json" + os.urandom(1000)
    operation = ids.new()
    path = f"{address(mypay, provider)}/{ids.show(ids.OPERATION, operation)}"
    headers = [("webhook-id", "evt_1"), ("Webhook-Signature", "v1,a"), ("webhook-signature", "v1,b")]
    headers += [("authorization", "Bearer secret"), ("cookie", "a=b"), ("x-forwarded-for", "10.0.0.1")]
    answer = client.post(path + "?a=%00&b=%C3%A4", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    row = newest(mypay)
    assert (bytes(row["body"]), row["query"], row["method"]) == (body, "a=%00&b=%C3%A4", "POST")
    assert (row["provider"], row["operation_id"], row["state"]) == (provider, operation, "received")
    kept = {"webhook-id": "evt_1", "webhook-signature": "v1,a, v1,b"} if provider == "sandbox" else {}
    assert msgspec.json.decode(row["headers"]) == kept
    assert ids.show(ids.ACCOUNT, row["account_id"]) == mypay.accounts[provider]


def test_it_is_announced(mypay: Installation, client: httpx.Client) -> None:
    assert client.post(address(mypay, "cpay"), content=b"announce me").status_code == 200
    wanted = newest(mypay)["id"]

    async def announced() -> bool:
        records = await read_topic(mypay.settings, topics.callbacks("cpay"))
        found = [decode(CallbackReceived, record.value) for record in records]
        return ids.show(ids.CALLBACK, wanted) in {getattr(each, "callback", None) for each in found}

    async def within_10_s() -> bool:
        async with asyncio.timeout(10):
            while not await announced():
                await asyncio.sleep(0.1)
        return True

    assert asyncio.run(within_10_s())


def test_strangers_write_nothing(mypay: Installation, client: httpx.Client) -> None:
    sandbox, cpay = address(mypay, "sandbox"), address(mypay, "cpay")
    token = sandbox.rsplit("/", 1)[1]
    before = count(mypay)
    for path in (
        "/callbacks/sandbox/" + "x" * len(token),
        f"/callbacks/cpay/{token}",  # a good token, of another provider
        f"/callbacks/nobody/{token}",
        sandbox[:-1],
        "/callbacks/sandbox/%00",
        "/callbacks/sandbox/" + "x" * 5000,
        f"/callbacks/sandbox/{token}'--",
    ):
        answer = client.post(path, content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    for method in ("GET", "PUT"):  # neither provider calls back by these
        assert client.request(method, cpay).status_code == 404
    assert client.delete(cpay).status_code == 405
    assert count(mypay) == before


@pytest.mark.parametrize("declared", [True, False])
def test_a_mebibyte_and_no_more(mypay: Installation, client: httpx.Client, declared: bool) -> None:
    """Whether its length is declared or it comes in chunks."""
    path, before = address(mypay, "cpay"), count(mypay)

    def content(size: int) -> bytes | Iterator[bytes]:
        return b"x" * size if declared else iter([b"x" * 65536] * (size // 65536) + [b"x" * (size % 65536)])

    assert client.post(path, content=content(MIB)).status_code == 200
    assert len(newest(mypay)["body"]) == MIB
    try:
        answer = client.post(path, content=content(MIB + 1))
    except httpx.WriteError:  # the answer came while we were still sending
        pass
    else:
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert count(mypay) == before + 1


def test_an_operation_that_is_none_of_ours_is_left_out(mypay: Installation, client: httpx.Client) -> None:
    path = address(mypay, "sandbox")
    for operation in ("op_nonsense", "pay_" + "0" * 26, "op_" + "z" * 26, "..%2f"):
        assert client.post(f"{path}/{operation}", content=b"x").status_code == 200
        assert newest(mypay)["operation_id"] is None


def test_the_token_is_in_no_log(mypay: Installation, client: httpx.Client) -> None:
    path = address(mypay, "sandbox")
    client.post(path, content=b"x")
    client.post(path + "x", content=b"x")
    token = path.rsplit("/", 1)[1]
    log = mypay.processes["api"].log
    assert "/callbacks/{provider" in log
    assert token not in log
