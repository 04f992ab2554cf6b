"""A whole run from photos to a checked submission, scored on answers that the pipeline never sees.

The photos are painted (`ensemble.demo.painter`); the networks are real: EfficientNet-Lite0 and Lite1 with Google's
weights, which come as packages of the registry. They have never seen these animals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cv.errors import FinblendError
from cv.metrics import map5
from ensemble.project.result import Result

if TYPE_CHECKING:
    from ensemble.demo.painter import Painted

# model -> network of timm, whose weights are a package of the registry
NETWORKS = {"lite0": "tf_efficientnet_lite0", "lite1": "tf_efficientnet_lite1"}
NEW_SHARE = 0.12
SHOWN_QUERIES = 10


@dataclass(frozen=True, kw_only=True)
class DemoResult(Result):
    """What the demo reached, and where to look.

    Attributes
    ----------
    blend, best_single : float
        MAP@5 on the answers held back, of the blend and of the best model alone.
    best_single_model : str
    gain : float
        Of the blend over that model.
    without_marks : float
        MAP@5 on the answers held back, of the same blend without its pair source.
    predicted : float
        MAP@5 that the project foretold: nested, or in-sample where there were no nested trials.
    interval : list of float
        95 % of such tests lie in it.
    submission : Path
    sheets : list of Path
        Pictures of the catalogue and of some answers.
    """

    blend: float
    best_single: float
    best_single_model: str
    gain: float
    without_marks: float
    predicted: float
    interval: list[float]
    submission: Path
    sheets: list[Path]


def demonstrate(
    folder: str | Path,
    *,
    individuals: int = 120,
    trials: int = 60,
    seed: int = 0,
    say: Callable[[str], None] | None = print,
    progress: Callable[[str, int, int], None] | None = None,
) -> DemoResult:
    """Run the whole path as a user would: init, embed, models, match, tune, submit, check; then score the answers.

    Parameters
    ----------
    folder : str or Path
        Must not exist; keeps everything for a look afterwards.
    individuals, trials, seed : int
    say : callable or None
        Gets one line a step.
    progress : callable, optional
    """
    from ensemble import check, embed, evaluate, init, match, models, submit, tune
    from ensemble.networks.embed import require_backbones

    folder = Path(folder)
    if folder.exists():
        raise FinblendError(f"{folder}: already exists; choose another folder or remove it")
    if trials < 0:
        raise FinblendError(f"--trials >= 0 must hold, but got trials={trials}")
    require_backbones()
    from backbones.weights.installed import installed_weights

    weights = {name: installed_weights(network) for name, network in NETWORKS.items()}
    from ensemble.demo.painter import contact_sheet, paint_catalogue

    tell = say or (lambda line: None)
    data, project, submission = folder / "data", folder / "project", folder / "submission.csv"
    tick = None if progress is None else (lambda done, total: progress("painting", 1, total))
    painted = paint_catalogue(data, individuals=individuals, seed=seed, progress=tick)
    contact_sheet(folder / "photos.png", painted)
    tell(
        f"1. painted a catalogue into {data}: {painted.train.height} train and {painted.test.height} test photos; "
        f"look at {folder / 'photos.png'}"
    )
    made = init(project, train=data / "train.csv", test=data / "sample_submission.csv", folds=5, encounters="encounter")
    tell(
        f"2. init: {made.individuals} individuals, {made.species} species; "
        f"{100 * made.new_share:.0f} % of train photos are strangers in their fold"
    )
    for name, network in NETWORKS.items():
        report = embed(
            project,
            name,
            backbone=f"timm:{network}",
            weights=weights[name],
            images=[data / "photos"],
            frozen=True,
            strict=True,
            progress=progress,
        )
        tell(f"3. embed {name}: timm:{network}, real weights, {report.photos_per_second:.0f} photos a second")
    alone = {row["model"]: row["map5"] for row in models(project, new_share=NEW_SHARE)["models"]}
    tell(f"4. models, out-of-fold MAP@5 alone: {', '.join(f'{name} {score:.4f}' for name, score in alone.items())}")
    best = max(alone, key=lambda name: alone[name])
    # the best single model gets the same care as the blend: threshold, background and penalty of its own
    tune(project, trials=trials, new_share=NEW_SHARE, seed=seed, models=[best], nested_trials=0)
    single_submission = folder / "best_single.csv"
    submit(project, single_submission)
    single = _score(single_submission, painted)
    matched = match(project, "marks", images=[data / "photos"], progress=progress)
    tell(
        f"5. match: {matched.keypoints:.0f} keypoints a photo, {sum(matched.verified.values())} pairs of photos "
        f"verified in {matched.seconds['all']:.0f} s"
    )
    tune(project, trials=trials, new_share=NEW_SHARE, seed=seed, pairs=[], nested_trials=0)
    submit(project, submission)
    without_marks = _score(submission, painted)
    tuned = tune(project, trials=0, new_share=NEW_SHARE, seed=seed)
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in tuned["weights"].items())
    tell(f"6. tune: {tuned['trials']} trials, weights {shares}")
    nested = tuned["nested"] or {"map5": tuned["map5"], "prediction": evaluate(project)["interval"]}
    low, high = nested["prediction"]
    tell(
        f"   predicted MAP@5 {nested['map5']:.4f} ({'nested' if tuned['nested'] else 'in-sample'}; 95 % of such tests "
        f"{low:.4f} to {high:.4f}; in-sample {tuned['map5']:.4f})"
    )
    marks = tuned["pairs"].get("marks")
    if marks is not None:
        tell(f"   marks {'are used' if marks['used'] else 'are not used'}: {marks['gain']:+.4f}, cross-fitted")
    submit(project, submission)
    check(submission, sample=data / "sample_submission.csv")
    _show_answers(folder / "answers.png", submission, painted)
    tell(f"7. submit and check: {submission} keeps every rule; look at {folder / 'answers.png'}")
    blend = _score(submission, painted)
    tell(
        f"8. on the answers held back: blend {blend:.4f}, without marks {without_marks:.4f}, best single model "
        f"({best}) {single:.4f}, gain {blend - single:+.4f}"
    )
    return DemoResult(
        blend=blend,
        best_single=single,
        best_single_model=best,
        gain=blend - single,
        without_marks=without_marks,
        predicted=nested["map5"],
        interval=[low, high],
        submission=submission,
        sheets=[folder / "photos.png", folder / "answers.png"],
    )


def _ranked(submission: Path) -> dict[str, list[str]]:
    table = pl.read_csv(submission)
    return dict(zip(table["image"], table["predictions"].str.split(" ").to_list(), strict=True))


def _score(submission: Path, painted: Painted) -> float:
    ranked = _ranked(submission)
    return map5([ranked[image] for image in painted.test["image"]], painted.test["answer"].to_list())


def _show_answers(path: Path, submission: Path, painted: Painted) -> None:
    """A sheet of queries with their top 5, evenly from the test photos in the order of their names."""
    from ensemble.demo.painter import answers_sheet

    ranked = _ranked(submission)
    example = dict(painted.train.unique("individual_id", keep="first").select("individual_id", "image").iter_rows())
    queries = painted.test.sort("image").gather_every(max(1, painted.test.height // SHOWN_QUERIES)).head(SHOWN_QUERIES)

    def shown(names: Sequence[str]) -> list[tuple[str, Path | None]]:
        return [(name, painted.photo(example[name]) if name in example else None) for name in names]

    rows = [(painted.photo(image), answer, shown(ranked[image])) for image, answer in queries.iter_rows()]
    answers_sheet(path, rows)
