"""Every provider's cases, as they are written down: each answer means what its case says."""

from importlib import import_module

import pytest

from providers.registry import PROVIDERS

CASES = {name: import_module(f"providers.{name}.cases").CASES for name in sorted(PROVIDERS)}
EACH = [pytest.param(name, case, id=f"{name}-{case.says}") for name, cases in CASES.items() for case in cases.answers]


@pytest.mark.parametrize(("name", "case"), EACH)
def test_an_answer_means_what_its_case_says(name, case):
    account = case.account or CASES[name].account
    flow = PROVIDERS[name].verbs[case.operation.verb].flow(case.operation, account)
    next(flow)
    outcome = None
    for answer in case.answers:
        try:
            flow.send(answer)
        except StopIteration as end:
            outcome = end.value
    assert outcome == case.expect
