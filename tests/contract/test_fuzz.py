"""Requests that schemathesis makes of the document: no server error, and no answer but those that it promises.

Its checks: statuses, media types, headers and bodies of answers are the documented ones; what the schemas forbid is
refused; what is deleted is gone; without a credential, or with a bad one, nothing answers; other methods are 405.
"""

import pytest

from tests.contract.asking import ask, callers
from tests.support.installation import Installation

PLANS = {  # by caller: what is tried, and how often
    "key": ("--phases=examples,coverage,stateful", "--max-examples=20"),
    "person": ("--phases=examples,coverage,stateful", "--max-examples=5"),
    "nobody": ("--phases=examples,fuzzing", "--max-examples=2"),
}


@pytest.mark.parametrize("caller", PLANS)
def test_nothing_breaks_what_the_document_promises(mypay: Installation, caller: str) -> None:
    found = ask(mypay, callers(mypay)[caller], "--generation-deterministic", *PLANS[caller])
    assert found.returncode == 0, found.stdout + found.stderr
    assert '"level":"error"' not in mypay.processes["api"].log
