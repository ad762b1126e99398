"""The smallest HTTP/1.1 client that a merchant could write: one kept connection, a time limit, no retries."""

import asyncio
from dataclasses import dataclass

LIMIT_S = 10.0


class NoAnswer(Exception):
    """The connection failed or nothing came in time: what was asked may have happened."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Requests to one port, one at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Send, and read the answer. Raises `NoAnswer`."""
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._exchange(method, path, headers, body)
        except (OSError, TimeoutError, EOFError, ValueError, IndexError) as error:
            self.close()
            raise NoAnswer(type(error).__name__) from error

    async def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        if writer.is_closing():  # by the server, meanwhile: uvloop would raise RuntimeError
            raise ConnectionResetError
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        content = await reader.readexactly(int(found.get("content-length", 0)))
        if found.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split(" ")[1]), found, content)

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
