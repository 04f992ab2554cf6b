"""What to be careful with where two blends are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cv.mix import Mix
from ensemble.comparison.compared import ComparedBlend
from ensemble.protocol.setup import Setup

SEEN = (
    "both blends' weights have seen the photos they are scored on, and who tried more has adapted more; --nested "
    "compares them on photos that no choice was made on"
)


def comparison_warnings(
    pair: Sequence[ComparedBlend], setups: Sequence[Setup], reference: ComparedBlend, nested: bool
) -> list[str]:
    """What favours one of the two, or differs between them otherwise than by the blend.

    Parameters
    ----------
    pair : sequence of two ComparedBlend
    setups : sequence of two Setup
    reference : ComparedBlend
        The one in whose mix both are scored.
    nested : bool
        Whether the two are compared on photos that no choice was made on, too.
    """
    first, second = pair
    lines = first.blend.changed(first.name) + second.blend.changed(second.name)
    if not nested:
        lines.append(SEEN)
    if first.blend.second_stage != second.blend.second_stage:
        plain, staged = (second, first) if first.blend.second_stage else (first, second)
        lines.append(
            f"{plain.name}'s rule and threshold have seen the photos they are scored on, {staged.name}'s second stage "
            "has not: the comparison favours the former a little"
        )
    if first.blend.mix != second.blend.mix:
        other = first if reference is second else second
        mix = format_mix(other.blend.mix)
        lines.append(f"{other.name} was tuned for another mix ({mix}); both are scored in {reference.name}'s")
    if first.blend.neighbours != second.blend.neighbours:
        lines.append(
            f"neighbours of {first.name} are {first.blend.neighbours}, of {second.name} {second.blend.neighbours}: "
            "what an index passes over is part of the difference"
        )
    if setups[0].evaluation_set.query_set.can_hide and not setups[1].evaluation_set.query_set.can_hide:
        lines.append(
            f"{second.name} has networks trained on this catalogue, so that no known photo can play the stranger a "
            "second time: only photos as they are are compared"
        )
    if first.blend.gallery != second.blend.gallery:
        lines.append(
            "pseudo-labels are in the gallery of one and not in the other's, or others: their galleries differ"
        )
    return lines


def format_mix(mix: Mix) -> str:
    """A mix in few words.

    >>> format_mix(Mix(0.3, None)), format_mix(Mix({"*": 0.1}, 0.9))
    ('share of strangers 0.3, gallery mix raw', 'share of strangers per species, gallery mix 0.9')
    """
    share = "per species" if isinstance(mix.new_share, Mapping) else "raw" if mix.new_share is None else mix.new_share
    return f"share of strangers {share}, gallery mix {'raw' if mix.gallery_exponent is None else mix.gallery_exponent}"
