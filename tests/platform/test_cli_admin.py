"""`mypay init` and `mypay admin`: the first owner and others, with a password that is never an argument."""

import asyncio
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from gateway import passwords
from gateway.cli import main
from gateway.store import users
from gateway.store.users import StoredUser

Mypay = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    """Somebody sits there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def mypay(
    database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Mypay:
    """Run a command with these lines piped in; returns status, stdout and stderr."""
    environment = {
        "SECRET_KEY": "s" * 43,
        "JWT_SECRET_KEY": "j" * 43,
        "DATABASE_URI": database_uri,
        "MYPAY_ENV": "development",
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {**environment, "LOGNAME": "tester", "LOG_FILE": str(tmp_path / "log")})

    def run(*arguments: str, piped: str = "", stdin: io.StringIO | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", stdin or io.StringIO(piped))
        capsys.readouterr()
        return main(arguments), *capsys.readouterr()

    return run


def user(database_uri: str, email: str) -> StoredUser | None:
    async def find() -> StoredUser | None:
        connection = await asyncpg.connect(database_uri)
        try:
            return await users.find(connection, email)
        finally:
            await connection.close()

    return asyncio.run(find())


def signs_in(database_uri: str, email: str, password: str) -> bool:
    found = user(database_uri, email)
    return found is not None and passwords.verify(found.password_hash, password)


def shown(out: str) -> str:
    """The password that was made."""
    found = re.search(r"^Password \(shown this once\): (\S{20})$", out, re.MULTILINE)
    assert found is not None, out
    return found[1]


def test_the_first_owner(mypay: Mypay, database_uri: str) -> None:
    status, out, error = mypay("init", "--email", "owner@example.test")
    assert (status, error) == (0, "")
    assert re.search(r"^usr_\w{26} owner owner@example\.test$", out, re.MULTILINE)
    assert signs_in(database_uri, "Owner@Example.test", shown(out))
    status, _, error = mypay("init", "--email", "other@example.test")
    assert (status, error) == (1, "mypay: There is an owner already: `mypay admin create` makes another one.\n")
    assert user(database_uri, "other@example.test") is None


def test_others_with_a_role_and_a_piped_password(mypay: Mypay, database_uri: str) -> None:
    create = ("admin", "create", "--email", "viewer@example.test", "--role", "viewer")
    status, out, _ = mypay(*create, piped="correct horse battery\n")
    assert status == 0
    assert "Password" not in out
    assert signs_in(database_uri, "viewer@example.test", "correct horse battery")
    found = user(database_uri, "viewer@example.test")
    assert found is not None
    assert found.role == "viewer"
    status, _, error = mypay(*create)
    assert status == 1
    assert error.startswith("mypay: There is already a user viewer@example.test: ")


def test_a_new_password(mypay: Mypay, database_uri: str) -> None:
    mypay("admin", "create", "--email", "owner@example.test", piped="correct horse battery\n")
    status, out, _ = mypay("admin", "password", "--email", "OWNER@example.test")
    assert status == 0
    assert signs_in(database_uri, "owner@example.test", shown(out))
    assert not signs_in(database_uri, "owner@example.test", "correct horse battery")
    status, _, error = mypay("admin", "password", "--email", "nobody@example.test")
    assert (status, error.startswith("mypay: There is no user nobody@example.test: ")) == (1, True)


@pytest.mark.parametrize(
    ("email", "piped", "sentence"),
    [
        ("owner@example.test", "short\n", "A password has at least 12 characters: choose a longer one, or none."),
        ("owner", "", "owner is no e-mail address: write one, such as owner@example.com."),
    ],
)
def test_what_cannot_be_made(mypay: Mypay, database_uri: str, email: str, piped: str, sentence: str) -> None:
    assert mypay("admin", "create", "--email", email, piped=piped) == (1, "", f"mypay: {sentence}\n")
    assert user(database_uri, email) is None


def test_on_a_terminal_it_is_asked_for_twice(mypay: Mypay, monkeypatch: pytest.MonkeyPatch, database_uri: str) -> None:
    typed = iter(["correct horse battery", "correct horse battery", "correct horse battery", "another"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    create = ("admin", "create", "--email")
    assert mypay(*create, "owner@example.test", stdin=Terminal())[0] == 0
    assert signs_in(database_uri, "owner@example.test", "correct horse battery")
    status, _, error = mypay(*create, "other@example.test", stdin=Terminal())
    assert (status, error) == (1, "mypay: The two passwords differ: try again.\n")
