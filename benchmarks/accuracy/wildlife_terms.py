"""A frame with its split file, named by finblend and scored in wildlife-datasets' terms, beside the nearest photo.

    python -m benchmarks.accuracy.wildlife_terms frame.csv --split split --features mega=mega.npz --features b=b.npz

The real commands are run: init --split, register, tune, decide. The names of test photos, which the frame has, are read
here again, when `decisions.csv` is written. Terms are those of `wildlife_datasets.metrics` (Cermak et al. 2024, WACV,
arXiv:2311.09118) and of WildlifeReID-10k (Adam et al. 2024, arXiv:2406.09211):

- top-1: share of the photos of known individuals whose first name (somebody new left out) is right;
- BAKS: balanced accuracy on known samples, the mean over known individuals of the share of their photos answered right;
- BAUS: the same over individuals that are in the test part alone, whose right answer is that they are new;
- G: the geometric mean of BAKS and BAUS, which AnimalCLEF 2025 ranked by;
- balanced: the mean over all classes of test, everybody new being one class (`balanced_accuracy`).

The recipes beside it are wildlife-tools' (cosine, nearest photo), in the best single set of features and in all of them
set side by side, each of length 1, with the threshold for somebody new that is best by G on train's own folds. They
look among photos of the query's species alone: finblend is given the species of test photos, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.accuracy.public_recipes import unit
from benchmarks.common.photoid import photoid_frame
from cv.catalogue import NEW_INDIVIDUAL, read_catalogue
from ensemble.cli import main as finblend
from ensemble.project.folder import Project

# the honest score is not what is measured here
FEW = ["--nested-trials", "0"]


@dataclass(frozen=True)
class Terms:
    """Shares from 0 to 1; NaN where there is no such photo."""

    top1: float
    baks: float
    baus: float
    geometric: float
    balanced: float

    def __str__(self) -> str:
        return "  ".join(f"{value:8.4f}" for value in astuple(self))


def terms(truth: Sequence[str], answers: Sequence[Sequence[str]], known: Iterable[str]) -> Terms:
    """Score ranked answers.

    Parameters
    ----------
    truth : (n,) list of str
        Who is on each test photo.
    answers : (n,) list of lists of str
        Names by falling score, somebody new among them as `new_individual`.
    known : iterable of str
        The individuals of the train part.
    """
    names = np.array(truth, dtype=object)
    inside = np.isin(names, list(set(known)))
    wanted = np.where(inside, names, NEW_INDIVIDUAL)
    first = np.array([ranked[0] for ranked in answers], dtype=object)
    person = np.array([next((a for a in r if a != NEW_INDIVIDUAL), "") for r in answers], dtype=object)
    right = (first == wanted).astype(float)
    baks, baus = balanced(right[inside], names[inside]), balanced(right[~inside], names[~inside])
    top1 = float((person == names)[inside].mean()) if inside.any() else np.nan
    return Terms(top1, baks, baus, float(np.sqrt(baks * baus)), balanced(right, wanted))


def balanced(right: np.ndarray, classes: np.ndarray) -> float:
    """Mean over classes of the share that is right in each."""
    return float(np.mean([right[classes == each].mean() for each in np.unique(classes)])) if len(classes) else np.nan


def nearest(similarity: np.ndarray, labels: Sequence[str], threshold: float, usable: np.ndarray) -> list[list[str]]:
    """Answers of the recipe: the name of the most similar photo, behind somebody new where it is less than that."""
    score = np.where(usable, similarity, -np.inf)
    names = [labels[row] for row in score.argmax(axis=1)]
    return [
        [NEW_INDIVIDUAL, name] if best < threshold else [name, NEW_INDIVIDUAL]
        for name, best in zip(names, score.max(axis=1), strict=True)
    ]


def recipe(
    train: np.ndarray, test: np.ndarray, labels: list[str], folds: np.ndarray, species: Sequence[np.ndarray]
) -> tuple[float, list[list[str]]]:
    """Score G out-of-fold at the best threshold, and the answers of test at that threshold.

    Parameters
    ----------
    train, test : (n, d), (m, d) float arrays
        Rows of length 1.
    labels : (n,) list of str
    folds : (n,) int array
    species : (n,) and (m,) arrays of str
        Of the train and of the test photos.
    """
    within, across = train @ train.T, test @ train.T
    alike, usable = (of[:, None] == species[0] for of in species)
    met = alike & (folds[:, None] != folds)
    best = np.where(met, within, -np.inf).max(axis=1)

    def out_of_fold(threshold: float) -> float:
        answers = nearest(within, labels, threshold, met)
        scores = []
        for fold in np.unique(folds):
            rows = np.flatnonzero(folds == fold)
            known = [labels[row] for row in np.flatnonzero(folds != fold)]
            scores.append(terms([labels[row] for row in rows], [answers[row] for row in rows], known).geometric)
        told = [score for score in scores if not np.isnan(score)]
        # a fold without strangers, or with them alone, has no G; where all are so, nobody is said to be new
        return float(np.mean(told)) if told else 0.0

    thresholds = np.quantile(best[np.isfinite(best)], np.linspace(0, 1, 51))
    scores = [out_of_fold(threshold) for threshold in thresholds]
    return max(scores), nearest(across, labels, float(thresholds[int(np.argmax(scores))]), usable)


def recipes(project: Project) -> dict[str, list[list[str]]]:
    """Answers of the nearest photo: in the features that are best out-of-fold, and in all of them."""
    catalogue = project.catalogue
    labels, folds = catalogue.train["individual_id"].to_list(), catalogue.folds
    species = [part["species"].to_numpy() for part in (catalogue.train, catalogue.test)]
    spaces = {
        model: [unit(stores["frozen"].embedding(split, stores["frozen"].views[0])) for split in ("train", "test")]
        for model, stores in project.stores().items()
    }
    alone = {model: recipe(*space, labels, folds, species) for model, space in spaces.items()}
    best = max(alone, key=lambda model: alone[model][0])
    answers = {f"nearest photo, {best}": alone[best][1]}
    if len(spaces) > 1:
        train, test = (unit(np.concatenate([space[i] for space in spaces.values()], axis=1)) for i in (0, 1))
        answers["nearest photo, all side by side"] = recipe(train, test, labels, folds, species)[1]
    return answers


def answers_of(path: Path, images: list[str]) -> list[list[str]]:
    """Ranked names of `decisions.csv`, in the order of `images`."""
    table = pl.read_csv(path, infer_schema=False)
    names = [column for column in table.columns if column.startswith("name_")]
    ranked = {row["image"]: [row[name] for name in names if row[name]] for row in table.iter_rows(named=True)}
    return [ranked[image] for image in images]


def run(frame: Path, split: str, features: Mapping[str, str], folder: Path, options: argparse.Namespace) -> Project:
    """From the frame to `decisions.csv` by the real commands."""
    made = str(folder / "P")
    first = ["init", made, "--train", str(frame), "--split", split, "--folds", str(options.folds)]
    if options.encounters:
        first += ["--encounters", options.encounters]
    asked(first)
    for name, file in features.items():
        asked(["register", made, name, "--frozen", "--train", file, "--test", file])
    asked(["tune", made, "--trials", str(options.trials), "--new-share", options.new_share, *FEW])
    asked(["decide", made, "-o", str(folder / "decisions.csv")])
    return Project.open(made)


def asked(words: list[str]) -> None:
    """Run a command; a refusal has been told, and ends this."""
    print("$ finblend", *words, flush=True)
    if finblend(words):
        raise SystemExit(1)


def scored(frame: Path, split: str, features: Mapping[str, str], options: argparse.Namespace) -> dict[str, Terms]:
    """Terms of finblend's decisions and of the recipes."""
    with tempfile.TemporaryDirectory() as folder:
        project = run(frame, split, features, Path(folder), options)
        catalogue = project.catalogue
        # only now are the names of the test part read
        whole = read_catalogue(frame, pl.DataFrame({"image": ["none of the frame's"]}))[0].train
        truth = dict(whole.select("image", "individual_id").iter_rows())
        images = [image for image in catalogue.test_images if image in truth]
        place = [catalogue.test_images.index(image) for image in images]
        answers = {"finblend": answers_of(Path(folder) / "decisions.csv", catalogue.test_images)} | recipes(project)
    return {
        name: terms([truth[image] for image in images], [ranked[row] for row in place], catalogue.individuals)
        for name, ranked in answers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("frame", type=Path, help="a frame of wildlife-datasets, or the folder photoid")
    parser.add_argument("--split", action="append", help="FILE:COLUMN or COLUMN; several times for several tests")
    parser.add_argument("--features", action="append", metavar="NAME=FILE[:KEY]", default=[])
    parser.add_argument("--encounters")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--new-share", default="raw", help="see tune; raw: as on train's folds")
    parser.add_argument("--seed", type=int, default=0, help="of photoid's splits")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        frame, features = options.frame, dict(text.split("=", 1) for text in options.features)
        if frame.is_dir():
            frame, features = photoid_frame(frame, Path(folder), options.seed)
        for split in options.split or ["split"]:
            found = scored(frame, split, features, options)
            print(f"\n{split:32}" + "  ".join(f"{field.name:>8}" for field in fields(Terms)))
            for name, figures in found.items():
                print(f"{name:32}{figures}")


if __name__ == "__main__":
    main()
