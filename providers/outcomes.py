"""Making an outcome of a kind that a table gives, with what is known: kinds differ in what they can hold."""

from typing import Any

from providers.contract import Outcome


def stated(kind: type[Outcome], **known: Any) -> Outcome:
    """The outcome of that kind, with those of the known members that it has: a decline keeps its reason, a success its
    amount. A member that the kind needs and that is not known is a `TypeError`."""
    return kind(**{name: value for name, value in known.items() if name in kind.__struct_fields__})
