"""A TCP proxy that runs in the test's event loop, in front of one server: to freeze it, and to lose its replies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65_536


class Proxy:
    """Use `proxy`. What the bytes mean is not known here; tests recognise a request by something that is in it."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.lost = 0  # replies so far
        # Asked for each piece that was forwarded to the server: shall the connection end in place of the reply?
        self.lose: Callable[[bytes], bool] = lambda sent: False

    def freeze(self) -> None:
        """Hold every byte, both ways, and take connections without answering: a server that is stopped."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through that was held, and all that follows."""
        self._flowing.set()

    def before(self, uri: str) -> str:
        """The address of the same thing, through the proxy."""
        parts = urlsplit(uri)
        credentials = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}".lstrip("@")).geturl()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._flowing.wait()
            theirs, ours = await asyncio.open_connection(*self._upstream)
            try:
                await self._carry(reader, writer, theirs, ours)
            finally:
                ours.transport.abort()
        except (OSError, asyncio.CancelledError):
            return  # what a proxy does about an end: pass it on
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        doomed = asyncio.Event()

        async def requests() -> None:
            while sent := await client.read(CHUNK):
                await self._flowing.wait()
                if self.lose(sent):  # before it is forwarded, or the reply might be faster
                    doomed.set()
                to_server.write(sent)

        async def replies() -> None:
            while received := await server.read(CHUNK):
                await self._flowing.wait()
                if doomed.is_set():
                    self.lost += 1
                    return
                to_client.write(received)

        both = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)

    async def close(self) -> None:
        """End every connection."""
        self.thaw()
        for task in self._tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(uri: str) -> AsyncIterator[Proxy]:
    """A running proxy before the server of this address (`postgresql://user@host:port/…`, `http://host:port`)."""
    parts = urlsplit(uri)
    assert parts.hostname is not None
    assert parts.port is not None
    between = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(between.accept, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        await between.close()
