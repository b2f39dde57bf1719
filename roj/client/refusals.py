"""What speaks against a request: all of it is found before the first write, and told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roj.api.faults import Fault
from roj.client import errors

_ORDER = (errors.Invalid, errors.NotFound, errors.Conflict)
"""Of several refusals the first kind of these is raised: what is wrong in itself, before what the store says of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a request is refused."""

    kind: type[errors.ClientError]
    fault: Fault
    hint: str = ""

    @classmethod
    def of(cls, error: errors.ClientError) -> Refusal:
        """What an error says, as one reason among others."""
        words = "; ".join([error.message, *map(str, error.faults)])
        return cls(type(error), Fault("", words), error.hint)


def raise_refusals(what: str, refusals: Sequence[Refusal]) -> None:
    """Raise all of them as one error, of the first kind that there is; nothing, where there are none.

    Args:
        what: what is refused: `web:v1 cannot be deployed`.

    Raises:
        errors.Invalid, errors.NotFound, errors.Conflict, or the kind of the first refusal where it is none of these.
    """
    if not refusals:
        return
    kinds = [refusal.kind for refusal in refusals]
    kind = next((kind for kind in _ORDER if kind in kinds), kinds[0])
    hint = "\n".join(dict.fromkeys(refusal.hint for refusal in refusals if refusal.hint))
    if len(refusals) == 1:
        raise kind(f"{what}: {refusals[0].fault}", hint=hint)
    raise kind(f"{what}:", faults=[refusal.fault for refusal in refusals], hint=hint)
