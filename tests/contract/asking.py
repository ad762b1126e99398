"""schemathesis against an installation, as each kind of caller there is.

    python -m tests.contract.asking --seconds 300        other requests each time (`make fuzz`)

The suite asks the same requests every time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from tests.contract.api import streams
from tests.contract.conftest import UNLIMITED
from tests.support.installation import Installation, installation
from tests.support.parts import begin_run, end_run, parts_of_run

CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
# Not asked of: `positive_data_acceptance`, since what a body may say depends on more than its schema (which currencies
# there are, which objects), and a rule that refuses it is answered with 400.
UNASKED: Final = "positive_data_acceptance"
EVERYTHING: Final = "--phases=examples,coverage,fuzzing,stateful"
CHECKOUT: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 900


class Caller:
    """Somebody who asks: the headers he sends, which operations are his, and whether he knows what good bodies are."""

    def __init__(self, headers: Mapping[str, str], *options: str, knows: bool = False) -> None:
        self.options = [*options, *(f"--header={name}:{value}" for name, value in headers.items())]
        self.environment = {"SCHEMATHESIS_HOOKS": "tests.contract.good_bodies"} if knows else {}


def callers(mypay: Installation) -> dict[str, Caller]:
    """Everybody. A key that could revoke itself would see nothing but 401 from then on: people revoke keys.

    Who pays follows links from object to object; others try every operation by itself.
    """
    key = {"Authorization": f"Bearer {mypay.api_key}"}
    person = {"Authorization": f"Bearer {_access_token(mypay)}"}
    on_merchant = {**person, "MyPay-Merchant": _merchant(mypay, person), "MyPay-Livemode": "false"}
    money = "--include-path-regex=^/v1/(payments|refunds|payouts)"
    administration = "--include-path-regex=^/v1/(admin|api_keys|audit_events|routing|auth/merchants)"
    return {
        "payer": Caller(key, money, "--mode=positive", "--phases=stateful", knows=True),
        "person": Caller(on_merchant, administration, EVERYTHING),
        "nobody": Caller({}, EVERYTHING),
        "key": Caller(
            *(key, "--exclude-path-regex=^/v1/(auth|admin)/|^/v1/events/stream$"),  # which never ends
            *("--exclude-operation-id=revokeApiKey", EVERYTHING),
        ),
    }


def ask(mypay: Installation, caller: Caller, *options: str) -> subprocess.CompletedProcess[str]:
    """One run; its standard output says what was found, and it succeeds when that is nothing."""
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "--config-file", CONFIGURATION, "run"),
            *(f"{mypay.base_url}/openapi.json", "--no-color", f"--exclude-checks={UNASKED}"),
            *(f"--exclude-operation-id={name}" for name in streams(mypay)),
            *caller.options,
            *options,
        ],
        cwd=mypay.directory,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **caller.environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def _access_token(mypay: Installation) -> str:
    answer = httpx.post(f"{mypay.base_url}/v1/auth/token", json={"email": mypay.email, "password": mypay.password})
    return str(answer.raise_for_status().json()["access_token"])


def _merchant(mypay: Installation, person: Mapping[str, str]) -> str:
    answer = httpx.get(f"{mypay.base_url}/v1/auth/merchants", headers=dict(person))
    return str(answer.raise_for_status().json()["data"][0]["id"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask for so long as each caller; 1 if anything was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=300, help="for each kind of caller")
    parser.add_argument("--seed", type=int, help="repeat a run")
    given = parser.parse_args(arguments)
    options = [f"--max-time={given.seconds}", *([] if given.seed is None else [f"--seed={given.seed}"])]
    begin_run()
    try:
        with (
            tempfile.TemporaryDirectory() as place,
            installation(parts_of_run(), Path(place), workers=1, environment=UNLIMITED) as mypay,
        ):
            found = {name: ask(mypay, caller, *options) for name, caller in callers(mypay).items()}
    finally:
        end_run()
    for name, run in found.items():
        print(f"--- as {name} ---\n{run.stdout}{run.stderr}")
    return int(any(run.returncode for run in found.values()))


if __name__ == "__main__":
    sys.exit(main())
