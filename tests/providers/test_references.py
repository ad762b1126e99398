"""References made from operation ids."""

import string
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import references
from providers.contract import ReferenceFormat
from providers.registry import PROVIDERS

ALPHABETS = [
    string.digits,
    "0123456789abcdef",
    string.ascii_uppercase + string.digits,
    string.ascii_letters + string.digits,
]
FORMATS = st.builds(
    lambda alphabet, length: ReferenceFormat(alphabet=alphabet, length=length),
    st.sampled_from(ALPHABETS),
    st.integers(12, 64),
)


@given(FORMATS, st.uuids())
def test_form_and_partition(form, identifier):
    reference = references.make(form, identifier)
    assert references.make(form, UUID(int=identifier.int)) == reference
    assert len(reference) == form.length
    assert set(reference) <= set(form.alphabet)
    assert references.logical_partition(form, reference) == identifier.bytes[-1]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_neighbours_never_collide(name):
    form = PROVIDERS[name].reference
    made = {references.make(form, UUID(int=n << 8 | 7)) for n in range(20_000)}
    assert len(made) == 20_000


def test_a_fixed_point():
    """References are stored and sent: the algorithm must not change."""
    form = ReferenceFormat(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=24)
    assert references.make(form, UUID("0190a0b0-c0d0-7000-8000-0000000000ff")) == "73x0xjf51clbkigl9qrmvp0k"


@pytest.mark.parametrize("text", ["", "short", "z" * 24, "é" * 24, "73" + "a" * 23])
def test_what_is_not_ours_has_no_partition(text):
    form = ReferenceFormat(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=24)
    assert references.logical_partition(form, text) is None


@given(st.uuids())
def test_a_layout_stands_around_what_is_ours(identifier):
    """A UUID of version 4 (RFC 9562), which finds its way back like any other reference."""
    reference = references.make(references.UUID4, identifier)
    read = UUID(reference)
    assert (str(read), read.version, read.variant) == (reference, 4, RFC_4122)
    assert references.logical_partition(references.UUID4, reference) == identifier.bytes[-1]


@pytest.mark.parametrize(
    "strange",
    [
        "afb57b93-7849-19aa-8abb-4c3ccbfe3d79",  # another version
        "afb57b93-7849-49aa-babb-4c3ccbfe3d79",  # a variant that we do not write
        "afb57b93x7849-49aa-8abb-4c3ccbfe3d79",
        "AFB57B93-7849-49AA-8ABB-4C3CCBFE3D79",
        "xfb57b93-7849-49aa-8abb-4c3ccbfe3d79",
        "afb57b93784949aa8abb4c3ccbfe3d79",
        "",
    ],
)
def test_what_has_another_layout_is_not_ours(strange):
    assert references.logical_partition(references.UUID4, strange) is None
