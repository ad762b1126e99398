"""Following the feed: one tail per process reads new events once, and hands them to whoever follows.

A follower that is behind (it resumes, or did not take what was handed to it) reads pages of its own from the
database until it has caught up, and joins the tail then. So no event is skipped, and none is kept in memory for long:
what waits for a follower is bounded, and shared by all followers of the same events.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from gateway import ids
from gateway.payments.errors import MyPayError
from gateway.store import events as store
from gateway.store.database import DATABASE_FAILED, Pool
from gateway.store.events import Filters, Followed

POLL_S: Final = 0.020
RETRY_S: Final = 1.0
READ_MAX: Final = 500  # events in one statement of the tail
PAGE: Final = 100  # and of a follower that is behind
WAITING_MAX: Final = 100  # frames that wait for one follower; beyond, it is behind
CHUNK_BYTES: Final = 65_536  # about so much is handed on at once
MOST_OF_ONE: Final = 10  # followers for one key or person
MOST: Final = 2048  # followers in one process
log = structlog.get_logger(__name__)


class Wanted(Struct, frozen=True, kw_only=True):
    """Whose events, and which of them."""

    merchant_id: UUID
    livemode: bool
    filters: Filters


class Tail:
    """Reads the feed for all followers of this process, while there are any: `run` it in the background.

    `before_end` takes what is to be done when this process ends: followers would keep it.
    """

    def __init__(self, pool: Pool, before_end: Callable[[Callable[[], None]], None]) -> None:
        self._pool, self._before_end = pool, before_end
        self._following: defaultdict[tuple[UUID, bool], set[Follower]] = defaultdict(set)
        self._catching_up = asyncio.Semaphore(1)  # those behind share one connection: requests need the others
        self._open: Counter[str] = Counter()
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()
        self.position = 0  # up to here, events were handed on, or are being read
        self.closed = asyncio.Event()

    def follow(self, caller: str, wanted: Wanted, after: int | None) -> "Follower":
        """Someone who follows from a position on, or (None) from now on. Close it when done.

        Raises `rate_limited` where the caller has enough of them, `unavailable` where this process has.
        """
        if self._open[caller] >= MOST_OF_ONE:
            raise MyPayError("rate_limited", f"{MOST_OF_ONE} streams are open already: close one.", retry_after_s=5)
        if self._open.total() >= MOST:
            raise MyPayError("unavailable", "Too many streams are open here.", retry_after_s=5)
        self._open[caller] += 1
        self._wanted.set()
        return Follower(self, caller, wanted, after)

    def close(self) -> None:
        """No follower gets any more: this process ends."""
        self.closed.set()
        for followers in self._following.values():
            for each in followers:
                each.more.set()

    async def run(self) -> None:
        """For ever. A database that is away is waited for."""
        await self._wanted.wait()
        self._before_end(self.close)
        while True:
            if not self._open:
                self._wanted.clear()
                self._known.clear()
                await self._wanted.wait()
            try:
                async with self._pool.acquire() as connection:
                    head = await store.head(connection)
            except DATABASE_FAILED as error:
                log.warning("tail.database_away", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            if not self._known.is_set():
                self.position = head
                self._known.set()
            if head > self.position:
                await self._advance(head)
            await asyncio.sleep(POLL_S)

    async def _advance(self, head: int) -> None:
        """Read and hand on up to `head`. Whoever joins meanwhile has read up to there himself."""
        at, self.position = self.position, head
        merchants = list({merchant_id for merchant_id, _ in self._following})
        while merchants and at < head:
            try:
                async with self._pool.acquire() as connection:
                    found = await store.since(connection, at, head, merchants, READ_MAX)
            except DATABASE_FAILED as error:
                log.warning("tail.database_away", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            self._hand_on(found)
            at = found[-1].position if len(found) == READ_MAX else head

    def _hand_on(self, found: Sequence[Followed]) -> None:
        for event in found:
            followers = [
                each
                for each in self._following.get((event.merchant_id, event.livemode), ())
                if each.wanted.filters.admit(event.type, event.object_id)
            ]
            if followers:
                written = frame(event.id, event.type, event.body)
                for each in followers:
                    each.offer(event.position, written)

    # --- For followers ----------------------------------------------------------------------------------------------

    async def known(self) -> int:
        """The position of the tail, once it has one."""
        await self._known.wait()
        return self.position

    def join(self, follower: "Follower") -> None:
        """Hand on to it what comes."""
        self._following[follower.wanted.merchant_id, follower.wanted.livemode].add(follower)

    def leave(self, follower: "Follower") -> None:
        """Hand on nothing more to it, for now."""
        key = (follower.wanted.merchant_id, follower.wanted.livemode)
        self._following[key].discard(follower)
        if not self._following[key]:
            del self._following[key]

    def end(self, follower: "Follower") -> None:
        """It is done."""
        self.leave(follower)
        self._open[follower.caller] -= 1
        if not self._open[follower.caller]:
            del self._open[follower.caller]

    async def read(self, wanted: Wanted, after: int) -> list[store.Positioned]:
        """A page for somebody who is behind."""
        async with self._catching_up, self._pool.acquire() as connection:
            return await store.page(connection, wanted.merchant_id, wanted.livemode, wanted.filters, after, PAGE)


class Follower:
    """One that follows: `next` gives what comes, as server-sent events."""

    def __init__(self, tail: Tail, caller: str, wanted: Wanted, after: int | None) -> None:
        self._tail, self.caller, self.wanted, self._position = tail, caller, wanted, after
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._joined = False
        self.more = asyncio.Event()

    def close(self) -> None:
        """It follows no more."""
        self._tail.end(self)

    def offer(self, position: int, written: bytes) -> None:
        """What the tail hands on. Beyond `WAITING_MAX` everything is forgotten, and read again later."""
        if self._position is None or position <= self._position:
            return  # read before it joined
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.clear()
            self._joined = False
            self._tail.leave(self)
        if self._joined:
            self._waiting.append((position, written))
        self.more.set()

    async def next(self, patience_s: float) -> bytes:
        """What follows; nothing where nothing came within `patience_s`, or the database did not answer."""
        try:
            async with asyncio.timeout(patience_s):
                while not self._waiting and not self._tail.closed.is_set():
                    if not self._joined:
                        if found := await self._catch_up():
                            return found
                    else:
                        self.more.clear()
                        await self.more.wait()
        except TimeoutError:
            return b""
        except DATABASE_FAILED as error:
            log.warning("follower.database_away", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)
            return b""
        return self._take()

    def _take(self) -> bytes:
        taken, size = [], 0
        while self._waiting and size < CHUNK_BYTES:
            self._position, written = self._waiting.popleft()
            taken.append(written)
            size += len(written)
        return b"".join(taken)

    async def _catch_up(self) -> bytes:
        """The next page; with the last one it joins the tail, at the very position up to which it has read."""
        until = await self._tail.known()
        if self._position is None:
            self._position = until
        found: list[store.Positioned] = []
        if self._position < until:
            found = await self._tail.read(self.wanted, self._position)
            self._position = found[-1].position if len(found) == PAGE else max([until, *(e.position for e in found)])
        if self._position >= self._tail.position:
            self._joined = True
            self._tail.join(self)
        return b"".join(frame(each.id, each.type, each.body) for each in found)


def frame(event_id: UUID, type: str, body: bytes) -> bytes:
    """An event as a server-sent event (WHATWG HTML, section 9.2). Its body is JSON of one line."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (ids.show(ids.EVENT, event_id).encode(), type.encode(), body)
