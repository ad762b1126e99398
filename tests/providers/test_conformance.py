"""The conformance suite over every provider of the registry."""

import pytest

from providers.conformance.proofs import PROOFS
from providers.conformance.suite import name_of, prove, subject
from providers.registry import PROVIDERS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("proof", PROOFS, ids=name_of)
@pytest.mark.parametrize("name", sorted(PROVIDERS))
async def test_conformance(name, proof):
    result = await prove(proof, subject(name))
    assert result.refuted == ()
