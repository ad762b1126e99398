"""One text for one JSON value, for hashes and signatures."""

import msgspec


def canonical(value: object) -> bytes:
    """The value as RFC 8785 writes it, for values without fractions.

    But names are ordered by code point and not by UTF-16 unit, which differs only beyond the BMP.
    """
    return msgspec.json.encode(value, order="sorted")
