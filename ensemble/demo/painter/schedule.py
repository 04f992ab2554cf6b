"""Who is photographed how often, on which encounters and from which side, before anything is painted."""

from __future__ import annotations

import numpy as np
import polars as pl

from ensemble.demo.painter.individuals import SPECIES

# photos of known individuals in train follow a zeta law, as in real catalogues: many have one, a few have dozens
ZETA_EXPONENT = 1.35
MOST_PHOTOS = 30
TEST_SHARE = 0.5
NEW_SHARE = 0.12
NEW_PHOTOS_EACH = 2
# test photos of an individual come in proportion to (its train photos) ** EXPONENT
EXPONENT = 0.9
ENCOUNTER_PHOTOS = 3
# chance that a photo shows the encounter's usual side for sure; otherwise either side is as likely
SAME_FLANK = 0.8


def plan(individuals: int, seed: int) -> pl.DataFrame:
    """Draw every photo to be taken.

    Returns
    -------
    polars.DataFrame
        `image, split, species, individual, flank, encounter, number`; strangers have numbers of `individuals` or more.
    """
    rng = np.random.default_rng([seed, 0])
    share = np.array([species.share for species in SPECIES])
    counts = rng.permutation(_long_tailed(individuals))
    n_test = round(counts.sum() * TEST_SHARE)
    n_new = round(n_test * NEW_SHARE)
    strangers = -(-n_new // NEW_PHOTOS_EACH)
    # every species has its share of the animals, whatever the seed
    kinds = rng.permutation(np.searchsorted(np.cumsum(share), (np.arange(individuals) + 0.5) / individuals))
    kinds = np.append(kinds, rng.choice(len(SPECIES), strangers, p=share / share.sum()))
    names = [f"{SPECIES[kind].short}{number:03d}" for number, kind in enumerate(kinds)]
    known = rng.choice(individuals, n_test - n_new, p=counts**EXPONENT / (counts**EXPONENT).sum())
    tested = np.append(known, individuals + np.arange(n_new) // NEW_PHOTOS_EACH)
    met = 0
    rows: list[dict[str, object]] = []
    for split, animals in (("train", np.repeat(np.arange(individuals), counts)), ("test", np.sort(tested))):
        last, usual = -1, 0
        for number in animals.tolist():
            flanks = SPECIES[kinds[number]].flanks
            if number != last or rng.random() < 1 / ENCOUNTER_PHOTOS:
                met += 1
                usual = int(rng.integers(len(flanks)))
            last = number
            flank = usual if rng.random() < SAME_FLANK else int(rng.integers(len(flanks)))
            rows.append(
                {
                    "split": split,
                    "species": SPECIES[kinds[number]].name,
                    "individual": names[number],
                    "flank": flanks[flank],
                    "encounter": f"e{met:04d}",
                    "number": number,
                }
            )
    details = pl.DataFrame(rows)
    # names and rows of photos tell nothing
    parts = [details.filter(split=split) for split in ("train", "test")]
    shuffled = [part[rng.permutation(part.height)] for part in parts]
    named = [
        part.with_columns(image=pl.Series([f"{part['split'][0]}{i:05d}.jpg" for i in range(part.height)]))
        for part in shuffled
    ]
    columns = ["image", "split", "species", "individual", "flank", "encounter", "number"]
    return pl.concat(named).select(columns)


def _long_tailed(individuals: int) -> np.ndarray:
    """Photos of each individual: even quantiles of a cut zeta law, so that their sum hardly depends on chance."""
    rate = np.arange(1, MOST_PHOTOS + 1) ** -ZETA_EXPONENT
    below = np.cumsum(rate) / rate.sum()
    return np.searchsorted(below, (np.arange(individuals) + 0.5) / individuals) + 1
