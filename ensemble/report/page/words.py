"""Words that several sections share."""

from __future__ import annotations

from collections.abc import Mapping

from cv.mix import Mix
from ensemble.report.numbers import share


def format_mix(mix: Mix, share_of_new: float) -> str:
    """The mix that scores are weighted to.

    >>> format_mix(Mix(0.112, 0.9), 0.112)
    '11.2 % strangers, known photos in proportion to (gallery photos)^0.9'
    """
    text = f"{share(share_of_new)} strangers"
    if mix.new_share is None:
        text += " (the raw out-of-fold share, for none is stated)"
    elif isinstance(mix.new_share, Mapping):
        text += ", a share for each species"
    if mix.gallery_exponent is None:
        return text + ", gallery photos as out-of-fold"
    return text + f", known photos in proportion to (gallery photos)^{mix.gallery_exponent:g}"


def interval(pair: tuple[float, float] | list[float] | None) -> str:
    """Both ends.

    >>> interval([0.7012, 0.7249])
    '0.7012 to 0.7249'
    """
    return "-" if pair is None else f"{pair[0]:.4f} to {pair[1]:.4f}"


def against(difference: float, rival: str) -> str:
    """What a difference in MAP@5 is called.

    >>> against(0.0123, "b7"), against(-0.0123, "b7"), against(0.00004, "b7")
    ('gains 0.0123 over b7', 'loses 0.0123 against b7', 'scores as b7 does')
    """
    if round(abs(difference), 4) == 0:
        return f"scores as {rival} does"
    if difference > 0:
        return f"gains {difference:.4f} over {rival}"
    return f"loses {-difference:.4f} against {rival}"
