"""The transport's logins: cached, made once, and never taken for the call itself."""

import asyncio

import msgspec
import pytest

from providers.contract import Ambiguous, Credentials, Declined, HttpRequest, LoginRefused, NotSent, Succeeded
from providers.declines import DeclineCode
from tests.providers.peers import ANSWER, answering, provider, read_request, sized

pytestmark = pytest.mark.anyio


# --- Logging in ---------------------------------------------------------------------------------------------------


def logging_in(*, ttl_s=None, settles_s=0):
    def login(settings):
        response = yield HttpRequest(method="POST", path="/login", content=b"{}")
        if response.status == 403:
            raise LoginRefused("403")
        token = msgspec.json.decode(response.content)["token"]
        return Credentials(headers={"authorization": f"Bearer {token}"}, ttl_s=ttl_s, settles_s=settles_s)

    return provider(authenticate=login)


class Bank:
    """Gives tokens, and accepts only the one it gave last."""

    def __init__(self) -> None:
        self.logins = 0
        self.paths = []
        self.login_answer = None
        self.expired = False

    async def behave(self, reader, writer):
        while request := await read_request(reader):
            path = request.split(b" ")[1].decode()
            self.paths.append(path)
            writer.write(self._answer(path, request))

    def _answer(self, path, request):
        if path == "/login":
            self.logins += 1
            self.expired = False
            return self.login_answer or sized(b'{"token": "t%d"}' % self.logins)
        if self.expired or b"Bearer t%d\r\n" % self.logins not in request:
            return sized(b"{}", status="401 Unauthorized")
        return ANSWER


@pytest.fixture
def bank():
    return Bank()


async def test_one_login_for_many_calls(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in()
    assert await asyncio.gather(*(call(url, spec=spec) for _ in range(10))) == [Succeeded()] * 10
    assert bank.logins == 1


async def test_a_login_ends_with_its_life(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in(ttl_s=0.2)
    await call(url, spec=spec)
    await asyncio.sleep(0.2)
    assert await call(url, spec=spec) == Succeeded()
    assert bank.logins == 2


async def test_an_expired_login_is_made_anew_for_the_next_call(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in()
    await call(url, spec=spec)
    bank.expired = True
    assert await call(url, spec=spec) == Ambiguous(detail="HTTP 401")
    assert await call(url, spec=spec) == Succeeded()
    assert bank.paths == ["/login", "/charge", "/charge", "/login", "/charge"]


async def test_a_login_that_has_not_settled_is_kept(call, peer, bank):
    """It may only not be known everywhere yet: a new one would be no better, and never become better."""
    url, spec = await peer(bank.behave), logging_in(settles_s=60)
    await call(url, spec=spec)
    bank.expired = True
    for _ in range(2):
        assert await call(url, spec=spec) == Ambiguous(detail="HTTP 401")
    assert bank.logins == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sized(b"", status="403 Forbidden"), Declined(code=DeclineCode.CONFIGURATION, provider_code="403")),
        (sized(b"<html>"), NotSent(detail="DecodeError")),
        (sized(b'{"other": 1}'), NotSent(detail="KeyError")),
    ],
)
async def test_a_login_that_fails_sends_nothing(call, peer, bank, answer, expected):
    bank.login_answer = answer
    assert await call(await peer(bank.behave), spec=logging_in()) == expected
    assert bank.paths == ["/login"]


async def test_a_login_that_hangs_sends_nothing(call, peer):
    url = await peer(answering(b"", end=False))
    assert isinstance(await call(url, spec=logging_in(), deadline_s=0.3), NotSent)
