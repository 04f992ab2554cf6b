"""A whole run on a drawn world, scored on answers that the pipeline never sees.

The world has what makes photo-ID hard: individuals of a species resemble one another, each flank looks different, a
photo's quality is shared by all models, most individuals have one or two photos, and a fold's network knows the photos
it was trained on better than others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cv.catalogue import NEW_INDIVIDUAL
from cv.errors import FinblendError
from cv.folds import make_folds
from cv.metrics import map5

SPECIES = ("beluga", "bottlenose_dolphin", "fin_whale", "humpback_whale", "killer_whale")
# name, width, noise of its own
MODELS = (("dolg", 192, 0.95), ("convnext", 128, 1.05), ("effnet", 160, 1.15))
LATENT = 48
FOLDS = 5
NEW_SHARE = 0.12
NEW_PHOTOS_EACH = 2


@dataclass(frozen=True)
class World:
    """A drawn catalogue with its answers.

    Attributes
    ----------
    train : polars.DataFrame
        `image, species, individual_id, fold`.
    test : polars.DataFrame
        `image, answer`.
    train_latent, test_latent : (n, LATENT) float array
        What the photos show, before any network.
    centre : (n_train, LATENT) float array
        What the individual of each train photo looks like on average.
    train_noise, test_noise : (n, 1) float array
        How blurred each photo is, for every network alike.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    train_latent: np.ndarray
    test_latent: np.ndarray
    centre: np.ndarray
    train_noise: np.ndarray
    test_noise: np.ndarray


def draw_world(individuals: int, seed: int) -> World:
    """Draw a catalogue of so many known individuals."""
    rng = np.random.default_rng(seed)
    counts = np.minimum(rng.zipf(1.9, individuals), 40)
    species = rng.choice(len(SPECIES), individuals, p=[0.15, 0.35, 0.1, 0.25, 0.15])
    n_test = max(20, int(counts.sum() * 0.5))
    n_new = int(n_test * NEW_SHARE)
    new_species = species[rng.choice(individuals, max(1, -(-n_new // NEW_PHOTOS_EACH)))]
    all_species = np.append(species, new_species)
    look = rng.standard_normal((len(SPECIES), LATENT))[all_species] + rng.standard_normal((len(all_species), LATENT))
    flank = 0.5 * rng.standard_normal((2, len(all_species), LATENT))

    def photos(who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = np.exp(0.6 * rng.standard_normal((len(who), 1)))
        shown = look[who] + flank[rng.integers(0, 2, len(who)), who]
        return shown + 0.6 * noise * rng.standard_normal((len(who), LATENT)), noise

    train_who = rng.permutation(np.repeat(np.arange(individuals), counts))
    known = rng.choice(individuals, n_test - n_new, p=counts**0.9 / (counts**0.9).sum())
    test_who = rng.permutation(np.append(known, individuals + np.arange(n_new) // NEW_PHOTOS_EACH))
    names = np.array([f"id{i:05d}" for i in range(individuals)] + [NEW_INDIVIDUAL] * len(new_species))
    train = pl.DataFrame(
        {
            "image": [f"train{i:06d}.jpg" for i in range(len(train_who))],
            "species": [SPECIES[s] for s in all_species[train_who]],
            "individual_id": names[train_who],
        }
    )
    folds = make_folds(train.with_columns(encounter=pl.lit(None, dtype=pl.String)), FOLDS, seed)
    train_latent, train_noise = photos(train_who)
    test_latent, test_noise = photos(test_who)
    test = pl.DataFrame({"image": [f"test{i:06d}.jpg" for i in range(n_test)], "answer": names[test_who]})
    return World(
        train.with_columns(fold=pl.Series(folds)),
        test,
        train_latent,
        test_latent,
        look[train_who],
        train_noise,
        test_noise,
    )


def draw_embeddings(world: World, model: int, fold: int, seed: int) -> dict[str, np.ndarray]:
    """Draw what one fold's network of one model makes of every photo, in the named layout of `.npz` files."""
    _, width, own_noise = MODELS[model]
    rng = np.random.default_rng([seed, model, fold])
    mixing = rng.standard_normal((LATENT, width)) / np.sqrt(LATENT)
    # photos that the network was trained on lie closer to their individual than those it never saw
    seen = (world.train["fold"].to_numpy() != fold)[:, None]
    latent = np.where(seen, world.centre + 0.6 * (world.train_latent - world.centre), world.train_latent)
    noise = np.where(seen, 0.6 * world.train_noise, world.train_noise)

    def embed(shown: np.ndarray, blur: np.ndarray) -> np.ndarray:
        activity = np.tanh((shown + own_noise * blur * rng.standard_normal(shown.shape)) @ mixing)
        return np.asarray(activity + 0.2 * rng.standard_normal(activity.shape), dtype=np.float32)

    return {
        "train_image": world.train["image"].to_numpy().astype("U"),
        "train_embedding": embed(latent, noise),
        "test_image": world.test["image"].to_numpy().astype("U"),
        "test_embedding": embed(world.test_latent, world.test_noise),
    }


def write_world(folder: Path, world: World, seed: int) -> None:
    """Write the tables and embeddings that a user would bring, and the answers that finblend never reads."""
    folder.mkdir(parents=True)
    world.train.drop("fold").write_csv(folder / "train.csv")
    world.train.select("image", "fold").write_csv(folder / "folds.csv")
    world.test.select("image", predictions=pl.lit(NEW_INDIVIDUAL)).write_csv(folder / "sample_submission.csv")
    world.test.write_csv(folder / "answers.csv")
    for model, (name, _, _) in enumerate(MODELS):
        for fold in range(FOLDS):
            np.savez(folder / f"{name}-fold{fold}.npz", **draw_embeddings(world, model, fold, seed))  # type: ignore[arg-type]


def demonstrate(
    folder: str | Path,
    *,
    individuals: int = 600,
    trials: int = 60,
    seed: int = 0,
    say: Callable[[str], None] | None = print,
) -> dict[str, Any]:
    """Run the whole path as a user would: init, register, models, tune, submit, check; then score the answers.

    Parameters
    ----------
    folder : str or Path
        Must not exist; keeps everything for a look afterwards.
    individuals, trials, seed : int
    say : callable or None
        Gets one line a step.

    Returns
    -------
    dict
        `blend, best_single, gain` on the held-back answers, `predicted` out-of-fold, and the submission's path.
    """
    from ensemble import check, evaluate, init, models, register, submit, tune

    folder = Path(folder)
    if folder.exists():
        raise FinblendError(f"{folder}: already exists; choose another folder or remove it")
    if individuals < 50:
        raise FinblendError(f"--individuals >= 50 must hold, but got individuals={individuals}")
    if trials < 0 or seed < 0:
        raise FinblendError(f"--trials and --seed >= 0 must hold, but got trials={trials} and seed={seed}")
    tell = say or (lambda line: None)
    data, project, submission = folder / "data", folder / "project", folder / "submission.csv"
    world = draw_world(individuals, seed)
    write_world(data, world, seed)
    tell(
        f"1. drew a world into {data}: {world.train.height} train and {world.test.height} test photos, "
        f"{len(MODELS)} models x {FOLDS} folds"
    )
    made = init(project, train=data / "train.csv", test=data / "sample_submission.csv", folds=f"{data}/folds.csv:fold")
    tell(
        f"2. init: {made['individuals']} individuals, {made['species']} species; "
        f"{100 * made['new_share']:.0f} % of train photos are strangers in their fold"
    )
    for name, _, _ in MODELS:
        for fold in range(FOLDS):
            path = data / f"{name}-fold{fold}.npz"
            register(project, name, fold=fold, train=path, test=path)
    tell(f"3. register: {', '.join(name for name, _, _ in MODELS)}, five folds each")
    solo = {row["model"]: row["map5"] for row in models(project, new_share=NEW_SHARE)["models"]}
    tell(f"4. models, out-of-fold MAP@5 alone: {', '.join(f'{name} {score:.4f}' for name, score in solo.items())}")
    best = max(solo, key=lambda name: solo[name])
    # the best single model gets the same care as the blend: threshold, background and penalty of its own
    tune(project, trials=trials, new_share=NEW_SHARE, seed=seed, models=[best])
    alone = folder / "best_single.csv"
    submit(project, alone)
    single = _score(alone, world)
    tuned = tune(project, trials=trials, new_share=NEW_SHARE, seed=seed)
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in tuned["weights"].items())
    tell(f"5. tune: {tuned['trials']} trials, weights {weights}")
    low, high = evaluate(project)["interval"]
    tell(f"   predicted MAP@5 {tuned['map5']:.4f} (in-sample, 95 % interval {low:.4f} to {high:.4f})")
    submit(project, submission)
    check(submission, sample=data / "sample_submission.csv")
    tell(f"6. submit and check: {submission} keeps every rule")
    blend = _score(submission, world)
    tell(
        f"7. on the answers held back: blend {blend:.4f}, best single model ({best}) {single:.4f}, "
        f"gain {blend - single:+.4f}"
    )
    return {
        "blend": blend,
        "best_single": single,
        "best_single_model": best,
        "gain": blend - single,
        "predicted": tuned["map5"],
        "interval": [low, high],
        "submission": str(submission),
    }


def _score(submission: Path, world: World) -> float:
    predictions = pl.read_csv(submission)["predictions"].str.split(" ").to_list()
    return map5(predictions, world.test["answer"].to_list())
