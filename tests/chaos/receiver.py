"""The merchant's server for webhooks: writes down what it was sent, and now and then refuses it.

It checks signatures by hand, without the time in them: a worker whose clock is wrong by ten minutes signs that time.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
from pathlib import Path
from typing import TextIO

REFUSED_P = 0.05
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


class Receiver:
    """One endpoint. `secret` is told once the endpoint exists."""

    def __init__(self, file: Path, seed: int) -> None:
        self.secret = ""
        self._file: TextIO = file.open("a", encoding="utf-8", buffering=1 << 16)
        self._dice = random.Random(f"{seed}/receiver")
        self._server: asyncio.Server | None = None

    async def open(self, port: int) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    def close(self) -> None:
        """Stop, and flush."""
        if self._server is not None:
            self._server.close()
        self._file.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                writer.write(self._answer(headers, body))
                await writer.drain()
        except (OSError, EOFError, RuntimeError, ValueError):  # the client left; or uvloop: the connection is closed
            return
        finally:
            writer.close()

    def _answer(self, headers: dict[str, str], body: bytes) -> bytes:
        refused = self._dice.random() < REFUSED_P
        line = {
            "id": headers["webhook-id"],
            "digest": hashlib.md5(body).hexdigest(),
            "signed": self._is_signed(headers, body),
            "taken": not refused,
        }
        self._file.write(json.dumps(line) + "\n")
        return BUSY if refused else OK

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return f"v1,{wanted}" in headers["webhook-signature"].split(" ")
