"""The blend: all that passes from tuning to submitting, in a small JSON file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cv.errors import FinblendError
from cv.files import read_json, write_json
from cv.left_out import FOLD, check_left_out
from cv.mix import Mix
from postproc.evidence.evidence import MAX_TOP_PHOTOS
from postproc.neighbours.approximate import EXACT, check_neighbours
from postproc.ranking.decision import Decision
from postproc.ranking.prune import MAX_PENALTY
from postproc.transforms.whitening import KINDS

FORMAT = 1
_CHANGED = "is not as 'finblend tune' wrote it: what tune measured is of another recipe, and is left out"
# what is true of the tuning, whatever was changed since
_HOW_TUNED = {"trials": int, "sampler": str, "seed": int}


@dataclass(frozen=True)
class Blend:
    """A recipe from evidence to answers.

    Attributes
    ----------
    weights : dict of str to float
        Source weights alpha >= 0, summing to 1; the factor on a concatenated block is sqrt(alpha).
    whitening : dict of str to {"none", "total", "within"}
        How each source's space is whitened; "none" where a source is not named.
    top_photos : int
        An individual's score is the mean of its best `top_photos` photos, 1 to 3.
    species_penalty : float
        Taken off individuals of unlikely species, 0 to 50.
    background : float
        How much of the query's background is taken off its scores before the decision, >= 0.
    rule : {"A", "B"}
    threshold : float
        For `new_individual`, in scores against the background.
    mix : Mix
        The mix of photos it was tuned for.
    measured : dict
        Scores and the share of answers with somebody new in first place, how they were measured, and how it was tuned.
    contents : dict of str to list of str
        Hashes of the embeddings it was tuned on.
    species_weights : dict of str to dict of str to float
        Weights that photos of a species have instead of `weights`, shrunk towards them.
    second_stage : bool
        Whether the candidates are judged again (`ensemble.identification.second_stage`) instead of by rule and
        threshold. What judges them is fitted anew wherever it is needed: it is a function of the out-of-fold photos
        and this blend.
    pair_sources : dict of str to str
        Pair sources whose traits the second stage weighs, with the hash of what each said.
    leave_out : {"encounter", "fold"}
        What of the catalogue a train photo did not meet when it was scored (`cv.left_out`). Blends of older versions
        do not say so: they left the fold out.
    neighbours : {"exact", "approximate"}
        How the photos that are compared are found (`postproc.neighbours.approximate`).
    gallery : str
        Hash of the test photos that were merged into the gallery; empty where there are none.
    format : int
    by_hand : bool
        Whether the file was changed since it was saved, or made otherwise: `measured` has no scores then, for they are
        of another recipe.
    """

    weights: dict[str, float]
    whitening: dict[str, str] = field(default_factory=dict)
    _: KW_ONLY
    top_photos: int = 1
    species_penalty: float = 0.0
    background: float = 0.0
    rule: str = "A"
    threshold: float = 0.0
    mix: Mix = field(default_factory=Mix)
    measured: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, list[str]] = field(default_factory=dict)
    species_weights: dict[str, dict[str, float]] = field(default_factory=dict)
    second_stage: bool = False
    pair_sources: dict[str, str] = field(default_factory=dict)
    leave_out: str = FOLD
    neighbours: str = EXACT
    gallery: str = ""
    format: int = FORMAT
    by_hand: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        _check_weights("weights", self.weights)
        for species, weights in self.species_weights.items():
            _check_weights(f"species_weights of {species}", weights)
            strange = sorted(weights.keys() - self.weights.keys())
            if strange:
                raise FinblendError(f"species_weights of {species}: {strange[0]} is not among the weights")
        # evidence keeps what recipes within these bounds can use
        if not isinstance(self.top_photos, int) or not 1 <= self.top_photos <= MAX_TOP_PHOTOS:
            raise FinblendError(f"1 <= top_photos <= {MAX_TOP_PHOTOS} must hold, but got top_photos={self.top_photos}")
        if not 0 <= self.species_penalty <= MAX_PENALTY:
            raise FinblendError(
                f"0 <= species_penalty <= {MAX_PENALTY} must hold, but got species_penalty={self.species_penalty}"
            )
        if not 0 <= self.background < math.inf:
            raise FinblendError(f"background >= 0 must hold, but got background={self.background}")
        if not isinstance(self.second_stage, bool):
            raise FinblendError(f"second_stage must be true or false, but got second_stage={self.second_stage!r}")
        if not _holds(self.pair_sources, lambda each: isinstance(each, str)):
            raise FinblendError(f"pair_sources must be a word for each, but got pair_sources={self.pair_sources!r}")
        if self.pair_sources and not self.second_stage:
            raise FinblendError("pair sources speak in the second stage: with pair_sources, second_stage must be true")
        if self.format != FORMAT:
            raise FinblendError(f"blend format {self.format}, this finblend reads {FORMAT}")
        if not math.isfinite(self.threshold):
            raise FinblendError(f"threshold must be a number and finite, but got threshold={self.threshold}")
        if not isinstance(self.measured, Mapping):
            raise FinblendError(f"measured must be a mapping, but got measured={self.measured}")
        _check_contents(self.contents)
        check_left_out(self.leave_out)
        check_neighbours(self.neighbours)
        wrong = sorted(set(self.whitening.values()) - set(KINDS))
        if wrong:
            raise FinblendError(f"whitening must be one of {', '.join(KINDS)}, but got {wrong[0]!r}")
        Decision(self.rule, self.threshold)

    @property
    def decision(self) -> Decision:
        """Rule and threshold."""
        return Decision(self.rule, self.threshold)

    def deciding(self, decision: Decision) -> Blend:
        """The same blend with another rule and threshold."""
        return replace(self, rule=decision.rule, threshold=decision.threshold)

    @property
    def used(self) -> list[str]:
        """Sources that have weight, in general or for a species."""
        every = (self.weights, *self.species_weights.values())
        return [name for name in self.weights if any(own.get(name, 0.0) > 0 for own in every)]

    def changed(self, name: str) -> list[str]:
        """The warning about a file of this name that is `by_hand`; none for any other."""
        return [f"{name} {_CHANGED}"] if self.by_hand else []

    def as_dict(self) -> dict[str, Any]:
        """The recipe as its file holds it."""
        return {**{name: getattr(self, name) for name in _FIELDS}, "mix": self.mix.as_dict()}

    def save(self, path: Path) -> None:
        """Write the recipe, atomically, with a seal that tells whether the file is still what was measured."""
        value = self.as_dict()
        write_json(path, {**value, "seal": _seal(value)})

    @classmethod
    def load(cls, path: Path, *, as_start: bool = False) -> Blend:
        """Read a recipe; unknown keys and wrong values are refused, and figures of another recipe are left out.

        Parameters
        ----------
        path : Path
        as_start : bool
            Whether it is only where tuning starts from. Then the operators of an older finblend are left out; to
            answer by, a recipe with operators is refused, for it would not be what was tuned.
        """
        value = read_json(path)
        if not isinstance(value, dict):
            raise FinblendError(f"{path}: is not a blend")
        as_measured = value.pop("seal", None) == _seal(value)
        if "weights" not in value:
            raise FinblendError(f"{path}: is not a blend (it has no key 'weights')")
        operators = _operator_names(value.pop("operators", {}), path)
        if operators and not as_start:
            raise FinblendError(
                f"{path}: was tuned with operators ({', '.join(operators)}), which finblend no longer has; "
                "run 'finblend tune' again"
            )
        unknown = sorted(value.keys() - set(_FIELDS))
        if unknown:
            raise FinblendError(f"{path}: unknown key '{unknown[0]}'")
        try:
            blend = cls(**{**value, "mix": _parsed_mix(value.get("mix", {}))})
        except (TypeError, AttributeError):
            raise FinblendError(f"{path}: is not a blend ({_of_wrong_kind(value)})") from None
        except FinblendError as error:
            raise FinblendError(f"{path}: {error}") from None
        return blend if as_measured else replace(blend, measured=_how_tuned(blend.measured), by_hand=True)


_FIELDS = [each.name for each in fields(Blend) if each.name != "by_hand"]


def _parsed_mix(mix: Any) -> Mix:
    """The mix of a file, a wrong one refused."""
    if not isinstance(mix, Mapping) or set(mix) - set(Mix().as_dict()):
        raise FinblendError(f"mix must have the keys {', '.join(Mix().as_dict())}, but got mix={mix}")
    return Mix(**mix)


def _operator_names(operators: Any, path: Path) -> list[str]:
    """The operators that an older finblend's file names for some model."""
    if not _holds(operators, _holds):
        raise FinblendError(
            f"{path}: is not a blend (operators must be a mapping for each model, but is {json.dumps(operators)})"
        )
    return sorted({name for of_model in operators.values() for name in of_model})


def _seal(value: Mapping[str, Any]) -> str:
    """SHA-256 of a recipe as JSON holds it."""
    return hashlib.sha256(json.dumps(json.loads(json.dumps(value)), sort_keys=True).encode()).hexdigest()


def _how_tuned(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {key: measured[key] for key, kind in _HOW_TUNED.items() if isinstance(measured.get(key), kind)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _holds(value: object, rule: Callable[[object], bool] = lambda each: True) -> bool:
    return isinstance(value, Mapping) and all(map(rule, value.values()))


# what stands in each kind of field, and how to say so
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "dict[str, float]": (lambda value: _holds(value, _is_number), "a number for each model"),
    "dict[str, dict[str, float]]": (
        lambda value: _holds(value, lambda each: _holds(each, _is_number)),
        "a number for each model, by species",
    ),
    "dict[str, str]": (lambda value: _holds(value, lambda each: isinstance(each, str)), "a word for each"),
    "dict": (_holds, "a mapping"),
    "Mix": (_holds, "a mapping"),
    "float": (_is_number, "a number"),
    "int": (_is_number, "a whole number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "a word"),
}


def _of_wrong_kind(value: Mapping[str, Any]) -> str:
    """Which value of a file is of the wrong kind, in the words of JSON."""
    for own in fields(Blend):
        kind = str(own.type)
        is_right, told = _KINDS.get(kind) or _KINDS[kind.partition("[")[0]]
        if own.name in value and not is_right(value[own.name]):
            return f"{own.name} must be {told}, but is {json.dumps(value[own.name])}"
    return "a value is of the wrong kind"


def _check_contents(contents: object) -> None:
    if not isinstance(contents, Mapping):
        raise FinblendError(f"contents must be a mapping of models, but got contents={contents}")
    for name, hashes in contents.items():
        if not isinstance(hashes, (list, tuple)) or not all(isinstance(one, str) for one in hashes):
            raise FinblendError(f"contents of {name} must be a list of hashes, but got {hashes!r}")


def _check_weights(name: str, weights: Mapping[str, float]) -> None:
    total = sum(weights.values())
    if not weights or min(weights.values()) < 0 or not math.isclose(total, 1.0, abs_tol=1e-6):
        raise FinblendError(f"weights >= 0 summing to 1 must hold, but got {name}={weights}")
