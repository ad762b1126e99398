"""Requests that schemathesis makes of the document: no server error, and no answer but those that it promises.

Its checks: statuses, media types, headers and bodies of answers are the documented ones; what the schemas forbid is
refused; what is deleted is gone; without a credential, or with a bad one, nothing answers; other methods are 405.
"""

import pytest

from tests.contract.asking import ask, callers
from tests.support.installation import Installation

PHASES = {  # in the suite: what is tried, and how many examples of each operation besides those that are listed
    "payer": ("--phases=stateful", "--max-examples=30"),
    "person": ("--phases=examples,fuzzing", "--max-examples=2"),
    "nobody": ("--phases=fuzzing", "--max-examples=1"),
    "key": ("--phases=examples,coverage", "--max-examples=1"),
}


@pytest.mark.parametrize("caller", PHASES)
def test_nothing_breaks_what_the_document_promises(mypay: Installation, caller: str) -> None:
    found = ask(mypay, callers(mypay)[caller], "--generation-deterministic", *PHASES[caller])
    assert found.returncode == 0, found.stdout + found.stderr
    assert '"level": "error"' not in mypay.processes["api"].log
